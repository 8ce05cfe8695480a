#include "os/output_pipe.hpp"

#include "os/com.hpp"

namespace stillpoint::windows_guest::os {

/// Anonymous pipes cannot be read without waiting. The name is known to nobody, the first instance
/// is the only one, and it is ours.
Status OutputPipe::open() {
    GUID id{};
    if (FAILED(::CoCreateGuid(&id))) return call_failed("make a name");
    const std::wstring name = LR"(\\.\pipe\stillpoint-hook-)" + to_wide(guid_text(id));
    constexpr DWORD mode =
        PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS;
    reader_ = Handle{::CreateNamedPipeW(
        name.c_str(), PIPE_ACCESS_INBOUND | FILE_FLAG_OVERLAPPED | FILE_FLAG_FIRST_PIPE_INSTANCE,
        mode, 1, 0, static_cast<DWORD>(4 * piece_.size()), 0, nullptr)};
    if (!reader_.valid()) return call_failed("create a pipe");
    SECURITY_ATTRIBUTES inherited{sizeof inherited, nullptr, TRUE};
    writer_ = Handle{::CreateFileW(name.c_str(), GENERIC_WRITE, 0, &inherited, OPEN_EXISTING,
                                   FILE_ATTRIBUTE_NORMAL, nullptr)};
    if (!writer_.valid()) return call_failed("open a pipe");
    return {};
}

OutputPipe::~OutputPipe() {
    if (!pending_) return;
    // The kernel writes into this object until the read has ended.
    ::CancelIoEx(reader_.get(), &read_);
    DWORD count = 0;
    ::GetOverlappedResult(reader_.get(), &read_, &count, TRUE);
}

std::string_view OutputPipe::next() {
    if (ended_) return {};
    DWORD count = 0;
    BOOL done = FALSE;
    if (pending_) {
        done = ::GetOverlappedResult(reader_.get(), &read_, &count, FALSE);
    } else {
        read_ = {};
        read_.hEvent = arrived_.handle();
        done = ::ReadFile(reader_.get(), piece_.data(), static_cast<DWORD>(piece_.size()), nullptr,
                          &read_);
        if (done) done = ::GetOverlappedResult(reader_.get(), &read_, &count, FALSE);
    }
    const DWORD error = done ? ERROR_SUCCESS : ::GetLastError();
    pending_ = error == ERROR_IO_PENDING || error == ERROR_IO_INCOMPLETE;
    ended_ = !done && !pending_;
    return {piece_.data(), count};
}

}  // namespace stillpoint::windows_guest::os
