#include "guest/clean_text.hpp"

#include <doctest/doctest.h>

using namespace stillpoint;
using namespace stillpoint::guest;

TEST_CASE("guest/clean_text: nothing that drives a terminal passes") {
    CHECK(clean_text("/srv/données") == "/srv/données");
    CHECK(clean_text("a\x1b[31mb\n\t\x7f") == "a?[31mb???");
    CHECK(clean_text("a\xc2\x9b"
                     "31mb\xc2\xa0") ==
          "a?31mb\xc2\xa0");  // U+009B introduces sequences as ESC [ does
}

TEST_CASE("guest/clean_text: long texts are cut at a character") {
    std::string text(guest_text_bytes_max - 1, 'x');
    text += "é";
    CHECK(clean_text(text) == std::string(guest_text_bytes_max - 1, 'x'));
}

TEST_CASE("guest/clean_text: texts deep in a message are cleaned, endless lists refused") {
    serialization::Welcome welcome;
    welcome.volumes.push_back({"/\n", "ext4", "8:1", true, false, ""});
    welcome.features = {"a\x01"};
    serialization::Message message = welcome;
    REQUIRE(clean_message(message));
    CHECK(std::get<serialization::Welcome>(message).volumes.at(0).name == "/?");
    CHECK(std::get<serialization::Welcome>(message).features.at(0) == "a?");
    welcome.volumes.resize(guest_list_items_max + 1);
    message = welcome;
    CHECK(clean_message(message).error().id == "guest.protocol");
}
