#include "hooks/output_tail.hpp"

#include <utility>

#include "hooks/hook.hpp"

namespace stillpoint::hooks {

void OutputTail::add(std::string_view piece) {
    text_ += piece;
    // Cut in large steps: moving the rest for every small piece would be quadratic.
    if (text_.size() > 2 * hook_output_bytes_max) cut();
}

std::string OutputTail::take() {
    cut();
    return std::exchange(text_, {});
}

void OutputTail::cut() {
    if (text_.size() > hook_output_bytes_max) text_.erase(0, text_.size() - hook_output_bytes_max);
}

}  // namespace stillpoint::hooks
