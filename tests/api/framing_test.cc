#include "api/framing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "api/metadata.h"
#include "base/hash.h"

namespace reprise {
namespace {

using Step = MessageReader::Step;

struct Received {
  MessageHeader header;
  Bytes meta;
  Bytes body;
  bool operator==(const Received&) const = default;
};

Bytes EncodeMessage(MessageHeader header, ByteView meta, ByteView body) {
  header.meta_bytes = static_cast<uint32_t>(meta.size());
  header.body_bytes = static_cast<uint32_t>(body.size());
  header.meta_checksum = MetaChecksum(meta);
  HeaderBytes head = EncodeMessageHeader(header);
  ByteWriter writer;
  writer.Raw(head);
  writer.Raw(meta);
  writer.Raw(body);
  return writer.Take();
}

Bytes Pattern(size_t size, uint8_t seed) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; i++) {
    bytes[i] = static_cast<uint8_t>(seed + i * 7 + i / 256);
  }
  return bytes;
}

// Takes every stop until bytes are needed again; messages go to `out`.
Status Pump(MessageReader* reader, Bytes* body, std::vector<Received>* out) {
  while (reader->step() != Step::kBytes) {
    switch (reader->step()) {
      case Step::kHeader:
        REPRISE_RETURN_IF_ERROR(reader->ReadMeta());
        break;
      case Step::kMeta:
        body->assign(reader->header().body_bytes, 0);
        reader->ReadBody(*body);
        break;
      case Step::kMessage:
        out->push_back({reader->header(),
                        Bytes(reader->meta().begin(), reader->meta().end()),
                        *body});
        REPRISE_RETURN_IF_ERROR(reader->NextMessage());
        break;
      case Step::kBytes:
        break;
    }
  }
  return Status::Ok();
}

// Feeds `stream` in chunks of at most chunk(position) bytes.
template <typename Chunk>
Status Feed(MessageReader* reader, ByteView stream, Chunk chunk,
            std::vector<Received>* out) {
  Bytes body;
  size_t at = 0;
  while (at < stream.size()) {
    MutableByteView space = reader->Space();
    EXPECT_FALSE(space.empty());
    size_t count = std::min(
        {space.size(), stream.size() - at, static_cast<size_t>(chunk(at))});
    std::copy_n(stream.begin() + at, count, space.begin());
    at += count;
    REPRISE_RETURN_IF_ERROR(reader->Advance(count));
    REPRISE_RETURN_IF_ERROR(Pump(reader, &body, out));
  }
  return Status::Ok();
}

Status FeedAll(ByteView stream, size_t chunk, std::vector<Received>* out) {
  MessageReader reader({});
  return Feed(
      &reader, stream, [&](size_t) { return chunk; }, out);
}

Bytes SmallMessage() {
  return EncodeMessage({.type = MessageType::kMatch, .request = 7},
                       Pattern(24, 1), Pattern(10, 2));
}

TEST(FramingTest, HeaderRoundTrips) {
  MessageHeader header{.type = MessageType::kFetch,
                       .flags = kFlagReply | kFlagEnd,
                       .request = 0x1122334455667788,
                       .meta_bytes = 1234,
                       .body_bytes = 5678,
                       .meta_checksum = 0xdeadbeef};
  MessageHeader parsed;
  HeaderBytes bytes = EncodeMessageHeader(header);
  ASSERT_TRUE(ParseMessageHeader(bytes, true, {}, &parsed).ok());
  EXPECT_EQ(parsed, header);
}

TEST(FramingTest, HeaderBytesAreThoseOfTheFormatPage) {
  HeaderBytes bytes = EncodeMessageHeader({.type = MessageType::kStats,
                                           .request = 3,
                                           .meta_bytes = 12,
                                           .meta_checksum = 0x01020304});
  EXPECT_EQ(ToHex(ByteView(bytes).first(28)),
            "52504d3101120000"
            "0300000000000000"
            "0c00000000000000"
            "04030201");
}

TEST(FramingTest, EveryFlippedHeaderBitIsRefused) {
  HeaderBytes good = EncodeMessageHeader(
      {.type = MessageType::kList, .request = 9, .meta_bytes = 8});
  for (size_t bit = 0; bit < good.size() * 8; bit++) {
    HeaderBytes bad = good;
    bad[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    MessageHeader parsed;
    Status status = ParseMessageHeader(bad, false, {}, &parsed);
    EXPECT_TRUE(status.Is(StatusCode::kInvalidArgument)) << bit;
    EXPECT_EQ(parsed.request, 0u) << bit;
  }
}

// A header whose checksum holds, with one byte changed before it was made.
HeaderBytes Resealed(HeaderBytes bytes, size_t at, uint8_t value) {
  bytes[at] = value;
  StoreLe(&bytes[28], MetaChecksum(ByteView(bytes).first(28)));
  return bytes;
}

struct BadHeader {
  HeaderBytes bytes;
  std::string_view message;
  uint64_t request;
};

TEST(FramingTest, RefusalsNameTheCheckAndBothNumbers) {
  HeaderBytes good =
      EncodeMessageHeader({.type = MessageType::kList, .request = 9});
  HeaderBytes reply = EncodeMessageHeader({.type = MessageType::kList,
                                           .flags = kFlagReply | kFlagEnd,
                                           .request = 9});
  const BadHeader cases[] = {
      {Resealed(good, 4, 2), "message: version is 2, spoken here is 1", 0},
      {Resealed(good, 6, 16), "message: flags is 16, known are 15", 9},
      {Resealed(good, 5, 0), "message: type is 0, the highest known is 21", 9},
      {Resealed(good, 5, 22), "message: type is 22, the highest known is 21",
       9},
      {Resealed(good, 19, 0x10),
       "message: metadata bytes is 268435456, the limit is 33554432", 9},
      {Resealed(good, 23, 0x10),
       "message: body bytes is 268435456, the limit is 16781312", 9},
      {Resealed(good, 8, 0), "message: request is 0, the lowest is 1", 0},
      {Resealed(good, 6, 2), "message: flags of a request is 2, wanted is 0",
       9},
      {reply, "message: flag reply is 1, wanted is 0", 9},
  };
  for (const BadHeader& bad : cases) {
    MessageHeader parsed;
    Status status = ParseMessageHeader(bad.bytes, false, {}, &parsed);
    EXPECT_EQ(status.message(), bad.message);
    EXPECT_EQ(parsed.request, bad.request) << bad.message;
  }
  MessageHeader parsed;
  EXPECT_EQ(ParseMessageHeader(good, true, {}, &parsed).message(),
            "message: flag reply is 0, wanted is 1");
  EXPECT_EQ(ParseMessageHeader(ByteView(good).first(31), false, {}, &parsed)
                .message(),
            "message: header bytes is 31, wanted are 32");
}

TEST(FramingTest, ErrorAnswersMayHaveNoRequestButMustEnd) {
  MessageHeader parsed;
  HeaderBytes error = EncodeMessageHeader(
      {.flags = kFlagReply | kFlagEnd | kFlagError, .request = 0});
  EXPECT_TRUE(ParseMessageHeader(error, true, {}, &parsed).ok());
  HeaderBytes open =
      EncodeMessageHeader({.flags = kFlagReply | kFlagError, .request = 4});
  EXPECT_FALSE(ParseMessageHeader(open, true, {}, &parsed).ok());
}

TEST(FramingTest, ReadsMessagesHoweverTheyAreCut) {
  Bytes stream;
  std::vector<Received> sent;
  for (size_t i = 0; i < 4; i++) {
    Bytes meta = Pattern(i * 40, static_cast<uint8_t>(i));
    Bytes body = Pattern(i * 33, static_cast<uint8_t>(i + 9));
    MessageHeader header{.type = MessageType::kCommit, .request = i + 1};
    Bytes message = EncodeMessage(header, meta, body);
    stream.insert(stream.end(), message.begin(), message.end());
    header.meta_bytes = static_cast<uint32_t>(meta.size());
    header.body_bytes = static_cast<uint32_t>(body.size());
    header.meta_checksum = MetaChecksum(meta);
    sent.push_back({header, meta, body});
  }
  for (size_t first = 1; first < stream.size(); first++) {
    MessageReader reader({});
    std::vector<Received> got;
    auto chunk = [&](size_t at) { return at == 0 ? first : stream.size(); };
    ASSERT_TRUE(Feed(&reader, stream, chunk, &got).ok()) << first;
    EXPECT_EQ(got, sent) << first;
    EXPECT_TRUE(reader.between_messages());
  }
  for (size_t size : {1, 2, 3, 7, 31, 32, 33, 100}) {
    std::vector<Received> got;
    ASSERT_TRUE(FeedAll(stream, size, &got).ok()) << size;
    EXPECT_EQ(got, sent) << size;
  }
}

TEST(FramingTest, LongBodiesAreReadInPlace) {
  Bytes body = Pattern(300'000, 3);
  Bytes stream = EncodeMessage({.type = MessageType::kPutFrames, .request = 1},
                               Pattern(64, 1), body);
  MessageReader reader({});
  Bytes landing(body.size());
  size_t at = 0;
  size_t in_place = 0;
  while (reader.step() != Step::kMessage) {
    if (reader.step() == Step::kHeader) {
      ASSERT_TRUE(reader.ReadMeta().ok());
    } else if (reader.step() == Step::kMeta) {
      reader.ReadBody(landing);
    } else {
      MutableByteView space = reader.Space();
      bool inside = space.data() >= landing.data() &&
                    space.data() < landing.data() + landing.size();
      size_t count = std::min<size_t>({space.size(), stream.size() - at, 9000});
      std::copy_n(stream.begin() + at, count, space.begin());
      at += count;
      in_place += inside ? count : 0;
      ASSERT_TRUE(reader.Advance(count).ok());
    }
  }
  EXPECT_EQ(landing, body);
  EXPECT_GT(in_place, body.size() - 2 * (16 << 10));
}

TEST(FramingTest, EveryTruncationIsAnUnfinishedMessage) {
  Bytes message = SmallMessage();
  for (size_t size = 0; size < message.size(); size++) {
    MessageReader reader({});
    std::vector<Received> got;
    auto all = [](size_t) { return size_t{1000}; };
    EXPECT_TRUE(Feed(&reader, ByteView(message).first(size), all, &got).ok());
    EXPECT_TRUE(got.empty());
    EXPECT_EQ(reader.between_messages(), size == 0);
  }
}

TEST(FramingTest, EveryFlippedByteOfHeaderOrMetadataIsRefused) {
  Bytes message = SmallMessage();
  size_t body = message.size() - 10;
  for (size_t i = 0; i < message.size(); i++) {
    for (size_t chunk : {1, 1000}) {
      Bytes bad = message;
      bad[i] ^= 0x40;
      std::vector<Received> got;
      Status status = FeedAll(bad, chunk, &got);
      // A body has no checksum of its own: its frames carry theirs.
      EXPECT_EQ(status.ok(), i >= body) << i;
    }
  }
}

TEST(FramingTest, DamageInALaterMessageLeavesTheEarlierOnes) {
  Bytes stream = SmallMessage();
  Bytes second = SmallMessage();
  second[40] ^= 1;
  stream.insert(stream.end(), second.begin(), second.end());
  for (size_t chunk : {1, 5, 1000}) {
    MessageReader reader({});
    std::vector<Received> got;
    Status status = Feed(
        &reader, stream, [&](size_t) { return chunk; }, &got);
    EXPECT_TRUE(status.Is(StatusCode::kInvalidArgument));
    EXPECT_EQ(got.size(), 1u);
    EXPECT_EQ(reader.header().request, 7u);
  }
}

TEST(FramingTest, LoweredLimitsHold) {
  MessageReader reader({.limits = {.meta_bytes = 23, .body_bytes = 10}});
  std::vector<Received> got;
  auto all = [](size_t) { return size_t{1000}; };
  Status status = Feed(&reader, SmallMessage(), all, &got);
  EXPECT_EQ(status.message(), "message: metadata bytes is 24, the limit is 23");
}

TEST(MetadataTest, PackedMetadataIsVerifiedAndRead) {
  wire::ForkT fork;
  fork.from = "a";
  fork.to = "b";
  MessageHead head = PackMessage(MessageType::kFork, 0, 5, fork);
  AlignedBytes meta = AlignedBytes::CopyOf(head.meta_view());
  auto read = VerifiedMeta<wire::Fork>(meta.view());
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(TextFromWire((*read)->from()), "a");
  EXPECT_EQ(TextFromWire((*read)->to()), "b");
  EXPECT_TRUE(IdFromWire<CommitId>((*read)->commit()).IsZero());
}

TEST(MetadataTest, TruncatedMetadataIsRefusedOrStillInside) {
  wire::ListT list;
  list.prefix = std::string(40, 'p');
  list.cursor = "cursor";
  MessageHead head = PackMessage(MessageType::kList, 0, 5, list);
  for (size_t size = 0; size < head.meta_view().size(); size++) {
    AlignedBytes meta = AlignedBytes::CopyOf(head.meta_view().first(size));
    auto read = VerifiedMeta<wire::List>(meta.view());
    if (!read.ok()) {
      EXPECT_TRUE(read.status().Is(StatusCode::kInvalidArgument));
      continue;
    }
    EXPECT_LE(TextFromWire((*read)->prefix()).size(), size);
  }
}

TEST(MetadataTest, NestingBeyondTheTableLimitIsRefused) {
  // Each item is a few bytes, for they all share one table.
  flatbuffers::FlatBufferBuilder builder;
  auto item = wire::CreatePublishItem(builder);
  std::vector<flatbuffers::Offset<wire::PublishItem>> items(kMaxMetaTables + 1,
                                                            item);
  builder.Finish(wire::CreatePublishDirect(builder, nullptr, &items));
  AlignedBytes meta =
      AlignedBytes::CopyOf({builder.GetBufferPointer(), builder.GetSize()});
  EXPECT_FALSE(VerifiedMeta<wire::Publish>(meta.view()).ok());
}

}  // namespace
}  // namespace reprise
