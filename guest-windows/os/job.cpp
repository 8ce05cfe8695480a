#include "os/job.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "os/com.hpp"
#include "os/data_folder.hpp"
#include "os/event.hpp"

namespace stillpoint::windows_guest::os {
namespace {

constexpr nanoseconds look_every = std::chrono::milliseconds{5};
constexpr UINT killed_code = 1;
constexpr std::size_t listed_max = 1024;  // more is not empty

bool is_console_host(HANDLE process) {
    std::array<wchar_t, MAX_PATH> path{};
    DWORD length = path.size();
    if (!::QueryFullProcessImageNameW(process, 0, path.data(), &length)) return false;
    const std::wstring host = to_wide(windows_folder()) + L"\\System32\\conhost.exe";
    return ::CompareStringOrdinal(path.data(), static_cast<int>(length), host.c_str(),
                                  static_cast<int>(host.size()), TRUE) == CSTR_EQUAL;
}

/// @return whether a process runs and is somebody's; unknown is yes
bool counts(DWORD id) {
    const Handle process{::OpenProcess(SYNCHRONIZE | PROCESS_QUERY_LIMITED_INFORMATION, FALSE, id)};
    if (!process.valid()) return ::GetLastError() != ERROR_INVALID_PARAMETER;
    if (::WaitForSingleObject(process.get(), 0) == WAIT_OBJECT_0) return false;
    return !is_console_host(process.get());
}

}  // namespace

Result<Job> Job::make() {
    Job job;
    job.handle_ = Handle{::CreateJobObjectW(nullptr, nullptr)};
    if (!job.handle_.valid()) return call_failed("create a job object");
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits{};
    // The second: a program that crashes ends, and shows no window to nobody.
    limits.BasicLimitInformation.LimitFlags =
        JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION;
    if (!::SetInformationJobObject(job.handle_.get(), JobObjectExtendedLimitInformation, &limits,
                                   sizeof limits)) {
        return call_failed("set the limits of a job object");
    }
    return job;
}

Status Job::add(HANDLE process) const {
    if (::AssignProcessToJobObject(handle_.get(), process)) return {};
    return call_failed("put a process into a job object");
}

bool Job::empty() const {
    if (gone()) return true;
    constexpr std::size_t bytes =
        sizeof(JOBOBJECT_BASIC_PROCESS_ID_LIST) + listed_max * sizeof(ULONG_PTR);
    std::vector<std::max_align_t> room(bytes / sizeof(std::max_align_t) + 1);
    void* const raw = room.data();
    auto* const list = static_cast<JOBOBJECT_BASIC_PROCESS_ID_LIST*>(raw);
    if (!::QueryInformationJobObject(handle_.get(), JobObjectBasicProcessIdList, list, bytes,
                                     nullptr)) {
        return false;
    }
    const std::span<const ULONG_PTR> ids{list->ProcessIdList, list->NumberOfProcessIdsInList};
    return std::ranges::none_of(ids, [](ULONG_PTR id) { return counts(static_cast<DWORD>(id)); });
}

bool Job::gone() const {
    JOBOBJECT_BASIC_ACCOUNTING_INFORMATION facts{};
    // Unknown is not empty.
    return ::QueryInformationJobObject(handle_.get(), JobObjectBasicAccountingInformation, &facts,
                                       sizeof facts, nullptr) != 0 &&
           facts.ActiveProcesses == 0;
}

void Job::kill() const {
    Event never;
    const nanoseconds until = now() + job_kill_max;
    while (!gone() && now() < until) {
        ::TerminateJobObject(handle_.get(), killed_code);
        never.wait_until(now() + look_every);
    }
}

}  // namespace stillpoint::windows_guest::os
