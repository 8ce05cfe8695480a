#pragma once
#include <memory>

#include "capture/capture.hpp"
#include "sim/stage.hpp"

/// NBD over a frozen view.
namespace stillpoint::sim {

[[nodiscard]] Result<std::unique_ptr<capture::NbdSource>> connect_view(
    Stage& stage, const capture::NbdAddress& address, const env::CancelToken& cancel);

}  // namespace stillpoint::sim
