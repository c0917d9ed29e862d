#!/bin/bash
# SPDX-License-Identifier: MIT
# Puts a clang that knows Xtensa's windowed calls, which the ESP32 uses, at build/clang, without
# installing it: build/clang/clang runs it with its own libraries. No stable Debian has one yet,
# hence SUITE, and the newest version there, because the next one replaces it at any time.
# Usage: clang.sh STAMP

. "$(dirname "$0")/lib.sh"
stamp=$1
SUITE=sid
OLDEST=23

lock
fresh "$stamp" "$ROOT/tools/setup/debian.sh" && exit 0
out=$BUILD/clang
is_debian || lacking "clang for Xtensa" "is fetched on Debian 12 or later only" "$stamp"

. "$(dirname "$0")/debian.sh"
say "fetching clang for Xtensa from Debian $SUITE"
archive "deb $SUITE"
version=$(apt-cache pkgnames clang- | sed -n 's/^clang-\([0-9]\{1,\}\)$/\1/p' | sort -n | tail -n 1)
[ "${version:-0}" -ge "$OLDEST" ] \
    || lacking "clang for Xtensa" "is not in Debian $SUITE: $OLDEST or later is needed" "$stamp"
# The compiler alone and what it runs with; its own dependencies would bring a C++ library to
# compile for this machine.
needs=$(apt-get install -s --no-install-recommends "libclang-cpp$version" "libllvm$version" \
    | sed -n 's/^Inst \([^ ]*\) .*/\1/p')
unpack_packages "$work/clang" "clang-$version" "libclang-common-$version-dev" $needs

cd "$work/clang"
lib=(usr/lib/*-linux-*)
loader=("${lib[0]}"/ld-linux*)
cat >clang <<RUN
#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs this clang with the C library that came with it.
here=\$(dirname "\$0")
llvm=\$here/usr/lib/llvm-$version
exec "\$here/${loader[0]}" --argv0 "\$llvm/bin/clang" --library-path "\$here/${lib[0]}" \\
    "\$llvm/bin/clang" -resource-dir "\$llvm/lib/clang/$version" "\$@"
RUN
chmod +x clang
cd "$ROOT"
rm -rf "$out"
mv "$work/clang" "$out"
printf 'int f(int x);\nint g(int x) { return f(x) + 1; }\n' \
    | "$out/clang" --target=xtensa -Xclang -target-feature -Xclang +windowed -S -O1 \
        -x c - -o - 2>/dev/null | grep -q entry \
    || lacking "clang $version" "of Debian $SUITE does not make windowed calls" "$stamp"
touch "$stamp"
