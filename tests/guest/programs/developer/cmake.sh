mkdir src
cat > CMakeLists.txt <<'C'
cmake_minimum_required(VERSION 3.10)
project(demo C)
enable_testing()
add_library(greet SHARED src/greet.c)
add_executable(demo src/main.c)
target_link_libraries(demo greet)
add_custom_command(OUTPUT gen.txt COMMAND demo > gen.txt DEPENDS demo)
add_custom_target(gen ALL DEPENDS gen.txt)
add_test(NAME runs COMMAND demo)
install(TARGETS demo DESTINATION bin)
C
printf 'const char *greet(void) { return "hello"; }\n' > src/greet.c
printf '#include <stdio.h>\nconst char *greet(void);\nint main(void) { puts(greet()); return 0; }\n' > src/main.c
for generator in 'Unix Makefiles' Ninja; do
    rm -rf b
    cmake -G "$generator" -S . -B b -DCMAKE_INSTALL_PREFIX=$PWD/inst > log 2>&1 || cat log
    cmake --build b -j4 > log 2>&1 || cat log
    cat b/gen.txt
    (cd b && ctest 2>&1 | grep 'tests passed')
    touch -d '+1 hour' src/greet.c && cmake --build b 2>&1 | grep -c -i linking
    cmake --install b > log 2>&1 && ls inst/bin
done
