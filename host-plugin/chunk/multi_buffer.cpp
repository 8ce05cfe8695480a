#include "chunk/multi_buffer.hpp"

namespace stillpoint::chunk::multi_buffer {

ManagerPool::Loan borrow_manager() {
    static ManagerPool pool;
    return pool.borrow([]() -> IMB_MGR* {
        IMB_MGR* manager = alloc_mb_mgr(0);
        if (manager != nullptr) init_mb_mgr_auto(manager, nullptr);
        return manager;
    });
}

}  // namespace stillpoint::chunk::multi_buffer
