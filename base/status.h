// Status and Result<T>: how every fallible function of Reprise answers.
//
// A Status is either OK (a null pointer: free to make, copy and test) or a
// code and a message. The code says what the caller should do next; the
// message says what was being done, the check that failed and both numbers:
// "frame: body is 4096 bytes, header says 8192". No message holds cached data,
// token ids, session names or labels.
//
// Neither class throws or aborts. Both are safe to copy and to move between
// threads; one object is not to be written from two threads at once.
#ifndef REPRISE_BASE_STATUS_H_
#define REPRISE_BASE_STATUS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace reprise {

// What the caller does about it. Values travel on the wire and are never
// reused (docs/format/wire.md).
enum class StatusCode : uint8_t {
  kOk = 0,
  kNotFound = 1,            // a miss: recompute
  kInvalidArgument = 2,     // fix the call
  kFailedPrecondition = 3,  // fix the setup, or re-read and try again
  kResourceExhausted = 4,   // full or over quota: drop it or try later
  kUnavailable = 5,         // daemon away or draining: back off or recompute
  kDeadlineExceeded = 6,    // outcome unknown; puts are idempotent: retry
  kDataLoss = 7,            // bytes failed a check: treat as a miss
  kUnimplemented = 8,       // unknown codec or version, or no GPU here
  kInternal = 9,            // a bug of ours: report it
};

// The code's name without the k: "NotFound". Never null.
std::string_view StatusCodeName(StatusCode code);

class [[nodiscard]] Status {
 public:
  Status() = default;  // OK
  Status(StatusCode code, std::string message);
  Status(const Status& other);
  Status& operator=(const Status& other);
  Status(Status&&) noexcept = default;
  Status& operator=(Status&&) noexcept = default;

  static Status Ok() { return Status(); }

  bool ok() const { return rep_ == nullptr; }
  StatusCode code() const { return rep_ ? rep_->code : StatusCode::kOk; }
  // Empty when OK. Lives as long as this object.
  std::string_view message() const;

  bool Is(StatusCode code) const { return this->code() == code; }

  // "NotFound: session does not exist", or "OK".
  std::string ToString() const;

  // The same code with "context: " put before the message. OK stays OK.
  Status WithContext(std::string_view context) const;

 private:
  struct Rep {
    StatusCode code;
    std::string message;
  };
  std::unique_ptr<Rep> rep_;
};

// One function a code, so that a call reads as a sentence.
Status NotFoundError(std::string message);
Status InvalidArgumentError(std::string message);
Status FailedPreconditionError(std::string message);
Status ResourceExhaustedError(std::string message);
Status UnavailableError(std::string message);
Status DeadlineExceededError(std::string message);
Status DataLossError(std::string message);
Status UnimplementedError(std::string message);
Status InternalError(std::string message);

// A value, or the Status that says why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  // Implicit on purpose: `return value;` and `return SomeError(...);`.
  Result(T value) : value_(std::move(value)) {}         // NOLINT
  Result(Status status) : status_(std::move(status)) {  // NOLINT
    REPRISE_DCHECK(!status_.ok());
    if (status_.ok()) status_ = InternalError("result: OK without a value");
  }

  bool ok() const { return value_.has_value(); }
  const Status& status() const& { return status_; }
  Status status() && { return std::move(status_); }

  // REQUIRES: ok().
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T&& operator*() && { return *std::move(value_); }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  std::optional<T> value_;
  Status status_;
};

// Leaves the function with the status when it is not OK.
#define REPRISE_RETURN_IF_ERROR(expression)              \
  do {                                                   \
    if (::reprise::Status reprise_status = (expression); \
        !reprise_status.ok()) {                          \
      return reprise_status;                             \
    }                                                    \
  } while (false)

#define REPRISE_CONCAT_INNER(a, b) a##b
#define REPRISE_CONCAT(a, b) REPRISE_CONCAT_INNER(a, b)

// Gives the value to `lhs`, or leaves the function with the status:
//
//   REPRISE_ASSIGN_OR_RETURN(auto frame, ParseFrame(bytes));
#define REPRISE_ASSIGN_OR_RETURN(lhs, expression)                          \
  REPRISE_ASSIGN_OR_RETURN_IMPL(REPRISE_CONCAT(reprise_result_, __LINE__), \
                                lhs, expression)
#define REPRISE_ASSIGN_OR_RETURN_IMPL(result, lhs, expression) \
  auto result = (expression);                                  \
  if (!result.ok()) return std::move(result).status();         \
  lhs = *std::move(result)

}  // namespace reprise

#endif  // REPRISE_BASE_STATUS_H_
