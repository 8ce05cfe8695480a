#include "hooks/hook_environment.hpp"

#include <algorithm>
#include <cctype>

namespace stillpoint::hooks {
namespace {

constexpr std::size_t job_id_bytes_max = 64;

/// Text from the host reaches a program of the administrator's: only what cannot mean anything
/// else.
bool plain_id(const std::string& id) {
    return !id.empty() && id.size() <= job_id_bytes_max && std::ranges::all_of(id, [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-';
    });
}

}  // namespace

std::vector<std::pair<std::string, std::string>> hook_environment(const HookOrder& order,
                                                                  const std::string& state_folder) {
    std::vector<std::pair<std::string, std::string>> all{{"STILLPOINT_PHASE", text_of(order.phase)},
                                                         {"STILLPOINT_HOOK_DIR", order.hook.folder},
                                                         {"STILLPOINT_STATE_DIR", state_folder}};
    if (plain_id(order.job_id)) all.emplace_back("STILLPOINT_JOB", order.job_id);
    if (!order.result.empty()) all.emplace_back("STILLPOINT_RESULT", order.result);
    all.insert(all.end(), order.hook.environment.begin(), order.hook.environment.end());
    return all;
}

}  // namespace stillpoint::hooks
