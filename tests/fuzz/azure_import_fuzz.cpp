// A foreign script configuration: what is translated is a guest.xml that the service accepts, and
// notes that a terminal can print.
#include <algorithm>

#include "fuzz.hpp"
#include "hooks/azure_import.hpp"
#include "serialization/value.hpp"
#include "service/guest_config.hpp"

namespace stillpoint::fuzz {
namespace {

/// Each argument reaches the script as it was written.
void check_arguments(const serialization::Value& in, const char* field,
                     const std::vector<std::string>& arguments) {
    const serialization::Value* list = in.find(field);
    if (list == nullptr) return SP_CHECK(arguments.empty());
    SP_CHECK(list->array()->size() == arguments.size());
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        SP_CHECK(*(*list->array())[i].text() == arguments[i]);
    }
}

}  // namespace

void fuzz_one(ByteView input) {
    using namespace linux_guest;
    const auto import = import_azure(as_text(input));
    if (!import) {
        SP_CHECK(import.error().code == Errc::invalid && import.error().id == "import.azure");
        return;
    }
    const auto config = parse_guest_config(import->xml, "the result");
    SP_CHECK(config.has_value() && config->hook.has_value());
    const auto in = serialization::parse_json(as_text(input));
    check_arguments(*in, "preScriptParams", config->hook->pre.arguments);
    check_arguments(*in, "postScriptParams", config->hook->post->arguments);
    for (const std::string& note : import->notes) {
        SP_CHECK(!note.empty() && note.find('\n') == std::string::npos);
    }
}

}  // namespace stillpoint::fuzz
