// A keeper whose clean-up is visible: it appends the document's "say" to the file "marker", with
// "undecided" where the document is, and
// fails as long as that file has no more than "fail_first" lines.
#include <fstream>

#include "keeper/keeper.hpp"

using namespace stillpoint;

namespace {

Status clean_up(const serialization::Value& document, const env::Deadline&) {
    const std::string marker = document.text_or("marker");
    std::ofstream{marker, std::ios::app}
        << document.text_or("say")
        << (document.boolean_or("undecided", false) ? ", undecided\n" : "\n");
    std::ifstream in{marker};
    std::int64_t lines = 0;
    for (std::string line; std::getline(in, line);) ++lines;
    if (lines > document.integer_or("fail_first", 0)) return {};
    return fail(Errc::io, "probe.failed", "told to fail");
}

}  // namespace

int main(int argc, char** argv) {
    return keeper::keeper_main(argc, argv, clean_up);
}
