#include "os/child_process.hpp"

#include <array>
#include <cstddef>
#include <vector>

#include "os/com.hpp"

namespace stillpoint::windows_guest::os {
namespace {

/// The list of handles that a child inherits: without it every inheritable one of this process goes
/// along, whoever made it.
class InheritedHandles {
public:
    explicit InheritedHandles(std::array<HANDLE, 2> handles) : handles_(handles) {
        SIZE_T bytes = 0;
        ::InitializeProcThreadAttributeList(nullptr, 1, 0, &bytes);
        room_.resize(bytes / sizeof(std::max_align_t) + 1);
        made_ = ::InitializeProcThreadAttributeList(list(), 1, 0, &bytes) != 0;
        set_ = made_ &&
               ::UpdateProcThreadAttribute(list(), 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST,
                                           handles_.data(), sizeof handles_, nullptr, nullptr) != 0;
    }
    InheritedHandles(const InheritedHandles&) = delete;
    InheritedHandles& operator=(const InheritedHandles&) = delete;
    ~InheritedHandles() {
        if (made_) ::DeleteProcThreadAttributeList(list());
    }
    [[nodiscard]] bool ready() const { return set_; }
    [[nodiscard]] LPPROC_THREAD_ATTRIBUTE_LIST list() {
        void* const raw = room_.data();
        return static_cast<LPPROC_THREAD_ATTRIBUTE_LIST>(raw);
    }

private:
    std::array<HANDLE, 2> handles_;
    std::vector<std::max_align_t> room_;
    bool made_ = false;
    bool set_ = false;
};

std::wstring wide_block(const std::string& block) {
    std::wstring out;
    for (std::size_t at = 0; at + 1 < block.size();) {
        const std::string line{block.c_str() + at};
        out += to_wide(line) + L'\0';
        at += line.size() + 1;
    }
    return out + L'\0';
}

}  // namespace

Result<ChildProcess> ChildProcess::start_suspended(const Order& order) {
    SECURITY_ATTRIBUTES inherited{sizeof inherited, nullptr, TRUE};
    const Handle nothing{::CreateFileW(L"NUL", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE,
                                       &inherited, OPEN_EXISTING, 0, nullptr)};
    if (!nothing.valid()) return call_failed("open NUL");
    InheritedHandles handles{{nothing.get(), order.output}};
    if (!handles.ready()) return call_failed("list the handles of a child");
    STARTUPINFOEXW start{};
    start.StartupInfo.cb = sizeof start;
    start.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
    start.StartupInfo.hStdInput = nothing.get();
    start.StartupInfo.hStdOutput = order.output;
    start.StartupInfo.hStdError = order.output;
    start.lpAttributeList = handles.list();
    std::wstring line = to_wide(order.line.text);
    std::wstring environment = wide_block(order.environment);
    PROCESS_INFORMATION made{};
    if (!::CreateProcessW(to_wide(order.line.program).c_str(), line.data(), nullptr, nullptr, TRUE,
                          CREATE_SUSPENDED | CREATE_NO_WINDOW | CREATE_UNICODE_ENVIRONMENT |
                              EXTENDED_STARTUPINFO_PRESENT,
                          environment.data(), to_wide(order.folder).c_str(), &start.StartupInfo,
                          &made)) {
        return call_failed("execute " + order.line.program);
    }
    ChildProcess child;
    child.process_ = Handle{made.hProcess};
    child.thread_ = Handle{made.hThread};
    return child;
}

Status ChildProcess::resume() const {
    constexpr DWORD failed = static_cast<DWORD>(-1);
    if (::ResumeThread(thread_.get()) != failed) return {};
    return call_failed("let a child run");
}

std::optional<DWORD> ChildProcess::exit_code() const {
    if (::WaitForSingleObject(process_.get(), 0) != WAIT_OBJECT_0) return std::nullopt;
    DWORD code = 0;
    if (!::GetExitCodeProcess(process_.get(), &code)) return std::nullopt;
    return code;
}

void ChildProcess::kill() const noexcept {
    ::TerminateProcess(process_.get(), 1);
}

}  // namespace stillpoint::windows_guest::os
