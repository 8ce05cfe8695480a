#pragma once
#include <optional>
#include <string>

#include "base/bytes.hpp"
#include "keeper/keeper.hpp"

namespace stillpoint::keeper {

/// Cuts a byte stream into lines, in bounded memory.
/// @threads one at a time
class LineReader {
public:
    /// @return false once a line is longer than line_bytes_max
    [[nodiscard]] bool feed(ByteView bytes) {
        text_.append(as_text(bytes));
        return text_.size() <= line_bytes_max || text_.find('\n') <= line_bytes_max;
    }
    /// @return the next complete line without its end
    [[nodiscard]] std::optional<std::string> next() {
        const std::size_t end = text_.find('\n');
        if (end == std::string::npos) return std::nullopt;
        std::string line = text_.substr(0, end);
        text_.erase(0, end + 1);
        return line;
    }

private:
    std::string text_;
};

}  // namespace stillpoint::keeper
