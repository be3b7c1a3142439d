#include "base/status.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

namespace reprise {
namespace {

TEST(StatusTest, DefaultIsOk) {
  const Status status;
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(status.code(), StatusCode::kOk);
  EXPECT_EQ(status.message(), "");
  EXPECT_EQ(status.ToString(), "OK");
}

TEST(StatusTest, OkCodeDropsTheMessage) {
  const Status status(StatusCode::kOk, "not kept");
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(status.message(), "");
}

TEST(StatusTest, EachMakerGivesItsCode) {
  const std::pair<Status, StatusCode> made[] = {
      {NotFoundError("m"), StatusCode::kNotFound},
      {InvalidArgumentError("m"), StatusCode::kInvalidArgument},
      {FailedPreconditionError("m"), StatusCode::kFailedPrecondition},
      {ResourceExhaustedError("m"), StatusCode::kResourceExhausted},
      {UnavailableError("m"), StatusCode::kUnavailable},
      {DeadlineExceededError("m"), StatusCode::kDeadlineExceeded},
      {DataLossError("m"), StatusCode::kDataLoss},
      {UnimplementedError("m"), StatusCode::kUnimplemented},
      {InternalError("m"), StatusCode::kInternal},
  };
  for (const auto& [status, code] : made) {
    EXPECT_FALSE(status.ok());
    EXPECT_TRUE(status.Is(code));
    EXPECT_EQ(status.message(), "m");
    EXPECT_EQ(status.ToString(), std::string(StatusCodeName(code)) + ": m");
  }
}

// These numbers travel on the wire.
TEST(StatusTest, CodesKeepTheirNumbers) {
  EXPECT_EQ(static_cast<int>(StatusCode::kOk), 0);
  EXPECT_EQ(static_cast<int>(StatusCode::kNotFound), 1);
  EXPECT_EQ(static_cast<int>(StatusCode::kInvalidArgument), 2);
  EXPECT_EQ(static_cast<int>(StatusCode::kFailedPrecondition), 3);
  EXPECT_EQ(static_cast<int>(StatusCode::kResourceExhausted), 4);
  EXPECT_EQ(static_cast<int>(StatusCode::kUnavailable), 5);
  EXPECT_EQ(static_cast<int>(StatusCode::kDeadlineExceeded), 6);
  EXPECT_EQ(static_cast<int>(StatusCode::kDataLoss), 7);
  EXPECT_EQ(static_cast<int>(StatusCode::kUnimplemented), 8);
  EXPECT_EQ(static_cast<int>(StatusCode::kInternal), 9);
}

TEST(StatusTest, UnknownCodeHasAName) {
  EXPECT_EQ(StatusCodeName(static_cast<StatusCode>(200)), "Unknown");
}

TEST(StatusTest, CopiesAreIndependent) {
  Status first = NotFoundError("first");
  Status copy = first;
  first = DataLossError("second");
  EXPECT_EQ(copy.ToString(), "NotFound: first");
  EXPECT_EQ(first.ToString(), "DataLoss: second");
  first = Status();
  EXPECT_TRUE(first.ok());
  const Status& self = copy;
  copy = self;
  EXPECT_EQ(copy.message(), "first");
}

TEST(StatusTest, ContextGoesInFront) {
  const Status status = DataLossError("2 bytes").WithContext("frame");
  EXPECT_EQ(status.ToString(), "DataLoss: frame: 2 bytes");
  EXPECT_TRUE(Status().WithContext("frame").ok());
}

Result<int> Half(int value) {
  if (value % 2 != 0) {
    return InvalidArgumentError("half: " + std::to_string(value) + " is odd");
  }
  return value / 2;
}

Result<int> Quarter(int value) {
  REPRISE_ASSIGN_OR_RETURN(const int half, Half(value));
  REPRISE_ASSIGN_OR_RETURN(const int quarter, Half(half));
  return quarter;
}

Status CheckQuarter(int value) {
  REPRISE_RETURN_IF_ERROR(Quarter(value).status());
  return Status();
}

TEST(ResultTest, HoldsAValue) {
  const Result<int> result = Quarter(12);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(*result, 3);
  EXPECT_TRUE(result.status().ok());
  EXPECT_TRUE(CheckQuarter(12).ok());
}

TEST(ResultTest, MacrosPassTheErrorOn) {
  EXPECT_EQ(Quarter(6).status().message(), "half: 3 is odd");
  EXPECT_EQ(CheckQuarter(6).message(), "half: 3 is odd");
  EXPECT_EQ(CheckQuarter(5).message(), "half: 5 is odd");
}

TEST(ResultTest, MovesOutWhatCannotBeCopied) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(7);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(**result, 7);
  const std::unique_ptr<int> value = *std::move(result);
  EXPECT_EQ(*value, 7);
}

TEST(ResultTest, ArrowReachesTheValue) {
  Result<std::string> result = std::string("text");
  EXPECT_EQ(result->size(), 4u);
  const Result<std::string>& view = result;
  EXPECT_EQ(view->size(), 4u);
}

}  // namespace
}  // namespace reprise
