// The error of an op that was given something wrong.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace octavo {

template <typename... Parts>
absl::Status InvalidArgument(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

}  // namespace octavo
