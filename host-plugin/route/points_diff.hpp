#pragma once
#include <string>
#include <vector>

#include "env/cancel.hpp"
#include "serialization/reports.hpp"
#include "vault/vault.hpp"

namespace stillpoint::route {

struct DiffRequest {
    std::string before, now;  // as find_point takes them
    bool extents = false;     // list what differs, not only how much
};

/// What lies between two recovery points, disk by disk. Reads the parts of the block maps that
/// differ and no data, so it costs what changed; every map node is proven by its id.
/// @errors as find_point · corrupt · cancelled
[[nodiscard]] Result<serialization::DiffReport> diff_points(vault::Vault& vault,
                                                            const DiffRequest& request,
                                                            const env::CancelToken& cancel);

}  // namespace stillpoint::route
