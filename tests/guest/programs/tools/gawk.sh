gawk 'BEGIN {
    while (("seq 5" | getline x) > 0) s += x
    print s
    print length("abc"), substr("hello", 2, 3)
    printf "%.3f\n", 3.14159
    print "b\na" | "sort"
    close("sort")
    exit 3
}'
