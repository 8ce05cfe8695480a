#pragma once
#include <intel-ipsec-mb.h>

#include <cstdint>

#include "base/bytes.hpp"
#include "chunk/pool.hpp"

/// Managers of the multi-buffer library, for the files that use it.
namespace stillpoint::chunk::multi_buffer {

struct ManagerDeleter {
    void operator()(IMB_MGR* manager) const { free_mb_mgr(manager); }
};
using ManagerPool = ContextPool<IMB_MGR, ManagerDeleter>;

/// A manager by itself: 200 KB and 0.3 ms each, so that they are kept for the next one who asks.
/// @return one whose get() may be null; ready() says whether it can be used
[[nodiscard]] ManagerPool::Loan borrow_manager();

[[nodiscard]] inline bool ready(IMB_MGR* manager) {
    return manager != nullptr && imb_get_errno(manager) == 0;
}

inline const std::uint8_t* octets(ByteView bytes) {
    return reinterpret_cast<const std::uint8_t*>(bytes.data());
}
inline std::uint8_t* octets(std::span<std::byte> bytes) {
    return reinterpret_cast<std::uint8_t*>(bytes.data());
}

}  // namespace stillpoint::chunk::multi_buffer
