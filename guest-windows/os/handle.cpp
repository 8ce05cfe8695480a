#include "os/handle.hpp"

#include "os/com.hpp"

namespace stillpoint::windows_guest::os {
namespace {

Errc code_of(DWORD error) {
    switch (error) {
        case ERROR_FILE_NOT_FOUND:
        case ERROR_PATH_NOT_FOUND:
        case ERROR_SERVICE_DOES_NOT_EXIST:
            return Errc::not_found;
        case ERROR_ACCESS_DENIED:
        case ERROR_INVALID_OWNER:
        case ERROR_PRIVILEGE_NOT_HELD:
            return Errc::denied;
        case ERROR_DISK_FULL:
        case ERROR_HANDLE_DISK_FULL:
            return Errc::no_space;
        default:
            return Errc::io;
    }
}

}  // namespace

tl::unexpected<Error> call_failed(const std::string& doing, DWORD error) {
    Error failed;
    failed.code = code_of(error);
    failed.id = "windows.call";
    failed.text = doing + ": " + windows_error(error);
    return tl::unexpected(std::move(failed));
}

}  // namespace stillpoint::windows_guest::os
