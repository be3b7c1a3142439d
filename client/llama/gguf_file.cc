#include "client/llama/gguf_file.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/bytes.h"
#include "gguf.h"

namespace reprise {
namespace {

// Element `i` of a value of `type` at `data`; nothing for text and arrays.
std::optional<double> NumberAt(gguf_type type, const void* data, size_t i) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  const auto load = [&]<typename T>(T) {
    return static_cast<double>(LoadLe<T>(bytes + i * sizeof(T)));
  };
  switch (type) {
    case GGUF_TYPE_UINT8:
      return load(uint8_t{});
    case GGUF_TYPE_INT8:
    case GGUF_TYPE_BOOL:
      return load(int8_t{});
    case GGUF_TYPE_UINT16:
      return load(uint16_t{});
    case GGUF_TYPE_INT16:
      return load(int16_t{});
    case GGUF_TYPE_UINT32:
      return load(uint32_t{});
    case GGUF_TYPE_INT32:
      return load(int32_t{});
    case GGUF_TYPE_FLOAT32:
      return load(float{});
    case GGUF_TYPE_UINT64:
      return load(uint64_t{});
    case GGUF_TYPE_INT64:
      return load(int64_t{});
    case GGUF_TYPE_FLOAT64:
      return load(double{});
    default:
      return std::nullopt;
  }
}

size_t ElementBytes(gguf_type type) {
  switch (type) {
    case GGUF_TYPE_UINT16:
    case GGUF_TYPE_INT16:
      return 2;
    case GGUF_TYPE_UINT32:
    case GGUF_TYPE_INT32:
    case GGUF_TYPE_FLOAT32:
      return 4;
    case GGUF_TYPE_UINT64:
    case GGUF_TYPE_INT64:
    case GGUF_TYPE_FLOAT64:
      return 8;
    default:
      return 1;
  }
}

void AddText(Sha256Stream* stream, std::string_view text) {
  uint8_t length[8];
  StoreLe(length, uint64_t{text.size()});
  stream->Update(length);
  stream->Update(AsBytes(text));
}

void AddValue(Sha256Stream* stream, const gguf_context* gguf, int64_t key) {
  const gguf_type type = gguf_get_kv_type(gguf, key);
  if (type == GGUF_TYPE_STRING) {
    AddText(stream, gguf_get_val_str(gguf, key));
    return;
  }
  if (type != GGUF_TYPE_ARRAY) {
    const auto* data =
        static_cast<const uint8_t*>(gguf_get_val_data(gguf, key));
    stream->Update({data, ElementBytes(type)});
    return;
  }
  const gguf_type element = gguf_get_arr_type(gguf, key);
  const size_t count = gguf_get_arr_n(gguf, key);
  AddText(stream, gguf_type_name(element));
  AddText(stream, std::to_string(count));
  if (element == GGUF_TYPE_STRING) {
    for (size_t i = 0; i < count; ++i) {
      AddText(stream, gguf_get_arr_str(gguf, key, i));
    }
  } else {
    const auto* data =
        static_cast<const uint8_t*>(gguf_get_arr_data(gguf, key));
    stream->Update({data, count * ElementBytes(element)});
  }
}

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

}  // namespace

void GgufFile::Free::operator()(gguf_context* context) const {
  gguf_free(context);
}

Result<GgufFile> GgufFile::Open(const std::string& path) {
  if (File(std::fopen(path.c_str(), "rbe")) == nullptr) {
    return NotFoundError("gguf: can't read " + path);
  }
  GgufFile file;
  file.path_ = path;
  file.context_.reset(gguf_init_from_file(
      path.c_str(), gguf_init_params{.no_alloc = true, .ctx = nullptr}));
  if (file.context_ == nullptr) {
    return DataLossError("gguf: " + path + " is no GGUF file");
  }
  file.architecture_ = file.Text("general.architecture").value_or("");
  return file;
}

std::optional<std::string> GgufFile::Text(const std::string& key) const {
  const int64_t id = gguf_find_key(context_.get(), key.c_str());
  if (id < 0 || gguf_get_kv_type(context_.get(), id) != GGUF_TYPE_STRING) {
    return std::nullopt;
  }
  return gguf_get_val_str(context_.get(), id);
}

std::optional<double> GgufFile::Number(const std::string& key) const {
  const int64_t id = gguf_find_key(context_.get(), key.c_str());
  if (id < 0) return std::nullopt;
  const gguf_type type = gguf_get_kv_type(context_.get(), id);
  if (type == GGUF_TYPE_STRING || type == GGUF_TYPE_ARRAY) {
    return std::nullopt;
  }
  return NumberAt(type, gguf_get_val_data(context_.get(), id), 0);
}

std::optional<std::vector<double>> GgufFile::Numbers(
    const std::string& key) const {
  if (const auto number = Number(key)) return std::vector<double>{*number};
  const int64_t id = gguf_find_key(context_.get(), key.c_str());
  if (id < 0 || gguf_get_kv_type(context_.get(), id) != GGUF_TYPE_ARRAY) {
    return std::nullopt;
  }
  const gguf_type type = gguf_get_arr_type(context_.get(), id);
  if (type == GGUF_TYPE_STRING || type == GGUF_TYPE_ARRAY) {
    return std::nullopt;
  }
  const void* data = gguf_get_arr_data(context_.get(), id);
  std::vector<double> numbers(gguf_get_arr_n(context_.get(), id));
  for (size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = NumberAt(type, data, i).value_or(0);
  }
  return numbers;
}

std::optional<std::string> GgufFile::ArchText(const std::string& key) const {
  return Text(architecture_ + "." + key);
}

std::optional<double> GgufFile::ArchNumber(const std::string& key) const {
  return Number(architecture_ + "." + key);
}

std::optional<std::vector<double>> GgufFile::ArchNumbers(
    const std::string& key) const {
  return Numbers(architecture_ + "." + key);
}

Result<std::vector<float>> GgufFile::FloatTensor(
    const std::string& name) const {
  const gguf_context* gguf = context_.get();
  const int64_t id = gguf_find_tensor(gguf, name.c_str());
  if (id < 0) return NotFoundError("gguf: no tensor " + name);
  if (gguf_get_tensor_type(gguf, id) != GGML_TYPE_F32) {
    return UnimplementedError("gguf: tensor " + name + " is not f32");
  }
  std::vector<float> values(gguf_get_tensor_size(gguf, id) / sizeof(float));
  const File file(std::fopen(path_.c_str(), "rbe"));
  const auto offset = static_cast<off_t>(gguf_get_data_offset(gguf) +
                                         gguf_get_tensor_offset(gguf, id));
  if (file == nullptr || fseeko(file.get(), offset, SEEK_SET) != 0 ||
      std::fread(values.data(), sizeof(float), values.size(), file.get()) !=
          values.size()) {
    return DataLossError("gguf: tensor " + name + " ends early");
  }
  return values;
}

Sha256Digest GgufFile::HashKeys(const std::string& prefix) const {
  const gguf_context* gguf = context_.get();
  std::vector<std::pair<std::string, int64_t>> keys;
  for (int64_t i = 0; i < gguf_get_n_kv(gguf); ++i) {
    const std::string key = gguf_get_key(gguf, i);
    if (key.starts_with(prefix)) keys.emplace_back(key, i);
  }
  std::sort(keys.begin(), keys.end());
  Sha256Stream stream;
  for (const auto& [key, id] : keys) {
    AddText(&stream, key);
    AddText(&stream, gguf_type_name(gguf_get_kv_type(gguf, id)));
    AddValue(&stream, gguf, id);
  }
  return stream.Finish();
}

}  // namespace reprise
