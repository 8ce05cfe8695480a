// A program as a hook: it does what its first argument says.
#include <windows.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

void start_another(const char* program, const char* words) {
    std::string line = std::string("\"") + program + "\" " + words;
    STARTUPINFOA start{};
    start.cb = sizeof start;
    PROCESS_INFORMATION made{};
    // Wants out of its job, and out of its parent's console.
    if (!::CreateProcessA(program, line.data(), nullptr, nullptr, FALSE,
                          DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP, nullptr, nullptr, &start,
                          &made)) {
        std::exit(99);
    }
    std::printf("%lu\n", made.dwProcessId);
}

[[noreturn]] void hang() {
    std::fflush(stdout);
    for (;;) ::WaitForSingleObject(::GetCurrentProcess(), INFINITE);
}

}  // namespace

int main(int count, char** words) {
    const std::string what = count > 1 ? words[1] : "";
    if (what == "arguments") {
        for (int i = 2; i < count; ++i) std::printf("[%s]", words[i]);
    } else if (what == "variable") {
        const char* value = std::getenv(words[2]);
        std::printf("%s", value == nullptr ? "(absent)" : value);
    } else if (what == "exit") {
        std::printf("first\nlast words\n");
        return std::atoi(words[2]);
    } else if (what == "much") {
        const std::string line(1023, 'x');
        for (int i = 0; i < 2048; ++i) std::printf("%s\n", line.c_str());
        std::printf("the end");
    } else if (what == "hang") {
        hang();
    } else if (what == "grandchildren") {  // … which are two generations down, then it waits
        start_another(words[0], "parent");
        hang();
    } else if (what == "parent") {
        start_another(words[0], "hang");
    } else if (what == "leave") {
        start_another(words[0], "hang");
    }
    return 0;
}
