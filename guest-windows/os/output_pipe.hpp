#pragma once
#include <array>
#include <string_view>

#include "os/event.hpp"
#include "os/handle.hpp"

namespace stillpoint::windows_guest::os {

/// A pipe into which a child writes and from which we read without waiting.
/// @threads one
class OutputPipe {
public:
    OutputPipe() = default;
    OutputPipe(const OutputPipe&) = delete;
    OutputPipe& operator=(const OutputPipe&) = delete;
    ~OutputPipe();
    [[nodiscard]] Status open();
    /// The child's end, inheritable.
    [[nodiscard]] HANDLE writer() const { return writer_.get(); }
    void close_writer() { writer_.reset(); }
    /// Set while there is something to take.
    [[nodiscard]] HANDLE readable() const { return arrived_.handle(); }
    /// Hands over what has been written so far, in pieces, at most 1 MiB at once.
    template <class Take>
    void drain(Take take) {
        for (std::size_t taken = 0; taken < drain_bytes_max;) {
            const std::string_view piece = next();
            if (piece.empty()) return;
            take(piece);
            taken += piece.size();
        }
        arrived_.set();  // there may be more
    }

private:
    static constexpr std::size_t drain_bytes_max = 1u << 20;  // then it is time to look at a clock
    /// @return what one read brought; empty: nothing now, or the end
    std::string_view next();
    Handle reader_;
    Handle writer_;
    Event arrived_;
    OVERLAPPED read_{};
    bool pending_ = false;
    bool ended_ = false;
    std::array<char, 16384> piece_{};
};

}  // namespace stillpoint::windows_guest::os
