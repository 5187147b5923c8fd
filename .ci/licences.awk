# Reads `package|licence expression` lines and refuses what is not in the list below (deny.toml has the
# same). AND binds closer than OR (SPDX); the slash of older manifests means OR.

BEGIN {
    count = split("0BSD Apache-2.0 BSD-2-Clause BSD-3-Clause ISC MIT MIT-0 Unicode-3.0 Unlicense Zlib", list, " ")
    for (i = 1; i <= count; i++) allowed[list[i]] = 1
    allowed["Apache-2.0_WITH_LLVM-exception"] = 1
}

!NF { next }

{
    checked++
    text = $2
    gsub(/ *\/ */, " OR ", text)
    gsub(/ WITH /, "_WITH_", text)
    if (text == "" || !holds(text)) {
        print $1 ": licence \"" $2 "\" is not in the list"
        refused++
    }
}

END {
    if (refused) exit 1
    print checked " licences are all in the list"
}

# Parentheses from the inside out, then what is flat.
function holds(text) {
    while (match(text, /\([^()]*\)/)) {
        inner = substr(text, RSTART + 1, RLENGTH - 2)
        text = substr(text, 1, RSTART - 1) flat(inner) substr(text, RSTART + RLENGTH)
    }
    return flat(text) == "TRUE"
}

function flat(text,    ors, ands, i, j, n, m, all) {
    n = split(text, ors, / OR /)
    for (i = 1; i <= n; i++) {
        m = split(ors[i], ands, / AND /)
        all = 1
        for (j = 1; j <= m; j++) if (!(ands[j] == "TRUE" || ands[j] in allowed)) all = 0
        if (all) return "TRUE"
    }
    return "FALSE"
}
