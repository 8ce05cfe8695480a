#pragma once
#include <windows.h>
// after windows.h
#include <vsbackup.h>
#include <vss.h>
#include <vswriter.h>

#include <memory>
#include <string>

#include "defaults.hpp"

namespace stillpoint::vss_double {

inline BSTR to_bstr(const std::string& ascii) {
    const std::wstring wide{ascii.begin(), ascii.end()};
    return ::SysAllocString(wide.c_str());
}

/// Writer number n has the class id {…n} and one instance.
inline VSS_ID writer_id(UINT number) {
    return {0x5717ad00u + number, 1, 1, {1, 1, 1, 1, 1, 1, 1, 1}};
}
inline VSS_ID instance_id(UINT number) {
    return {0x5717ad00u + number, 2, 2, {2, 2, 2, 2, 2, 2, 2, 2}};
}

/// References are counted; the last one ends the object.
template <class Base>
class Counted : public Base {
public:
    virtual ~Counted() = default;
    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID, void** out) override {
        *out = nullptr;
        return E_NOINTERFACE;
    }
    ULONG STDMETHODCALLTYPE AddRef() override { return ++references_; }
    ULONG STDMETHODCALLTYPE Release() override {
        const ULONG left = --references_;
        if (left == 0) std::unique_ptr<Counted>{this}.reset();
        return left;
    }

private:
    ULONG references_ = 1;
};

/// The one component of a writer: a database.
class Component final : public Counted<DefaultIVssWMComponent> {
public:
    HRESULT STDMETHODCALLTYPE GetComponentInfo(PVSSCOMPONENTINFO* out) override {
        info_ = {};
        info_.type = VSS_CT_DATABASE;
        info_.bstrLogicalPath = to_bstr("server");
        info_.bstrComponentName = to_bstr("data");
        *out = &info_;
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE FreeComponentInfo(PVSSCOMPONENTINFO info) override {
        ::SysFreeString(info->bstrLogicalPath);
        ::SysFreeString(info->bstrComponentName);
        return S_OK;
    }

private:
    VSS_COMPONENTINFO info_{};
};

class Metadata final : public Counted<DefaultIVssExamineWriterMetadata> {
public:
    Metadata(UINT number, std::string name) : number_(number), name_(std::move(name)) {}
    HRESULT STDMETHODCALLTYPE GetIdentity(VSS_ID* instance, VSS_ID* writer, BSTR* name,
                                          VSS_USAGE_TYPE* usage, VSS_SOURCE_TYPE* source) override {
        *instance = instance_id(number_);
        *writer = writer_id(number_);
        *name = to_bstr(name_);
        *usage = VSS_UT_USERDATA;
        *source = VSS_ST_TRANSACTEDDB;
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE GetFileCounts(UINT* includes, UINT* excludes,
                                            UINT* components) override {
        *includes = *excludes = 0;
        *components = 1;
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE GetComponent(UINT index, IVssWMComponent** out) override {
        if (index != 0) return E_INVALIDARG;
        *out = std::make_unique<Component>().release();
        return S_OK;
    }

private:
    UINT number_;
    std::string name_;
};

}  // namespace stillpoint::vss_double
