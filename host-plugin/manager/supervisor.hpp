#pragma once
#include <functional>

namespace stillpoint::manager {

/// Runs `work` in a child process and returns what this process must exit with: the child's status,
/// also when the child cannot end because the kernel keeps one of its threads (a store that hangs:
/// not even SIGKILL ends a process before that call returns). Signals to stop are passed on; a
/// child that has not ended long after one is killed, and its keeper cleans up. The death of this
/// process kills the child; a child that a signal killed makes this process die of the same. Call
/// before any thread exists. In the child it does not return. ADR-0014
/// @param work returns the exit status; runs with the signals as they were
[[nodiscard]] int supervise(const std::function<int()>& work);

}  // namespace stillpoint::manager
