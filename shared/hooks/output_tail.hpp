#pragma once
#include <string>
#include <string_view>

namespace stillpoint::hooks {

/// Keeps the end of what a hook prints, at most hook_output_bytes_max.
class OutputTail {
public:
    void add(std::string_view piece);
    [[nodiscard]] std::string take();

private:
    void cut();
    std::string text_;
};

}  // namespace stillpoint::hooks
