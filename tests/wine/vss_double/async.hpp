#pragma once
#include <windows.h>
// after windows.h
#include <vss.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace stillpoint::vss_double {

/// A call that goes on in a thread of its own; ends with one of VSS's codes.
class Async final : public IVssAsync {
public:
    static constexpr HRESULT pending = 0x00042309;
    using Work = std::function<HRESULT()>;

    /// @return with one reference, the caller's
    static IVssAsync* start(Work work) {
        auto made = std::make_unique<Async>();
        made->thread_ = std::thread{[self = made.get(), work = std::move(work)] {
            const HRESULT entered = ::CoInitializeEx(nullptr, COINIT_MULTITHREADED);
            const HRESULT result = work();
            if (SUCCEEDED(entered)) ::CoUninitialize();
            const std::scoped_lock guard{self->lock_};
            self->result_ = result;
            self->changed_.notify_all();
        }};
        return made.release();
    }
    ~Async() { thread_.join(); }

    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID, void** out) override {
        *out = nullptr;
        return E_NOINTERFACE;
    }
    ULONG STDMETHODCALLTYPE AddRef() override { return ++references_; }
    ULONG STDMETHODCALLTYPE Release() override {
        const ULONG left = --references_;
        if (left == 0) std::unique_ptr<Async>{this}.reset();
        return left;
    }
    HRESULT STDMETHODCALLTYPE Cancel() override { return S_OK; }
    /// As VSS's: its answer says nothing about how the call ended.
    HRESULT STDMETHODCALLTYPE Wait(DWORD milliseconds) override {
        std::unique_lock guard{lock_};
        changed_.wait_for(guard, std::chrono::milliseconds{milliseconds},
                          [this] { return result_ != pending; });
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE QueryStatus(HRESULT* result, INT*) override {
        const std::scoped_lock guard{lock_};
        *result = result_;
        return S_OK;
    }

private:
    std::mutex lock_;
    std::condition_variable changed_;
    HRESULT result_ = pending;
    std::atomic<ULONG> references_{1};
    std::thread thread_;
};

}  // namespace stillpoint::vss_double
