#pragma once
#include <memory>

#include "guest/guest_client.hpp"
#include "sim/stage.hpp"

/// The host's end of the conversation with a GuestModel.
namespace stillpoint::sim {

/// @errors as guest::connect_guest
[[nodiscard]] Result<std::unique_ptr<guest::GuestClient>> greet_guest(
    Stage& stage, const env::Deadline& deadline, const env::CancelToken& cancel);

/// What an undisturbed run must say of a guest that behaves like this.
[[nodiscard]] serialization::Level level_of(const GuestScript& script);

}  // namespace stillpoint::sim
