#!/usr/bin/env python3
"""Writes classes in which every method of a COM interface answers E_NOTIMPL, from the system's own
header: a double overrides what it plays, and its table of methods is the header's.

    make_defaults.py HEADER OUTPUT INTERFACE…
"""
import pathlib
import re
import sys

header, output, *interfaces = sys.argv[1:]
text = pathlib.Path(header).read_text(encoding="utf-8", errors="replace")
lines = ["#pragma once", "// Made by make_defaults.py."]
for interface in interfaces:
    body = re.search(rf"^{interface} : public IUnknown\n\{{(.*?)^\}};", text, re.M | re.S)[1]
    lines += [f"class Default{interface} : public {interface} {{", "public:"]
    for name, arguments in re.findall(r"virtual HRESULT STDMETHODCALLTYPE (\w+)\((.*?)\) = 0;",
                                      body, re.S):
        kinds = [re.sub(r"\s*=.*", "", " ".join(argument.split()))
                 for argument in arguments.split(",") if argument.strip()]
        lines.append(f"    HRESULT STDMETHODCALLTYPE {name}({', '.join(kinds)}) override "
                     "{ return E_NOTIMPL; }")
    lines += ["};"]
pathlib.Path(output).write_text("\n".join(lines) + "\n", encoding="utf-8")
