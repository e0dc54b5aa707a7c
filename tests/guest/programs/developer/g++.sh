cat > m.cc <<'CC'
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <future>
#include <iostream>
#include <map>
#include <mutex>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>
namespace fs = std::filesystem;
struct Deep { ~Deep() { std::cout << "unwound\n"; } };
static int deep(int n) { Deep d; if (!n) throw std::out_of_range("deep"); return deep(n - 1); }
int main() {
    std::atomic<int> total{0};
    std::mutex m; std::condition_variable cv; int ready = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; i++) threads.emplace_back([&, i] {
        { std::unique_lock l(m); ready++; cv.notify_all(); cv.wait(l, [&] { return ready == 8; }); }
        for (int j = 0; j < 10000; j++) total += i;
    });
    for (auto &t : threads) t.join();
    std::cout << total << "\n";
    try { deep(2); } catch (const std::exception &e) { std::cout << e.what() << "\n"; }
    auto f = std::async(std::launch::async, [] { throw std::runtime_error("from a thread"); return 1; });
    try { f.get(); } catch (const std::runtime_error &e) { std::cout << e.what() << "\n"; }
    std::promise<int> p; std::jthread setter([&] { p.set_value(7); });
    std::cout << p.get_future().get() << "\n";
    fs::create_directories("x/y/z");
    { std::ofstream out("x/y/file"); for (int i = 0; i < 1000; i++) out << i << '\n'; }
    fs::copy("x", "copy", fs::copy_options::recursive);
    fs::rename("copy/y/file", "copy/y/moved");
    fs::create_symlink("moved", "copy/y/link");
    fs::permissions("copy/y/moved", fs::perms::owner_read);
    fs::resize_file("x/y/file", 100);
    std::vector<std::string> names;
    for (auto &e : fs::recursive_directory_iterator(".")) if (e.path().string().find("m.") == std::string::npos) names.push_back(e.path().string());
    std::sort(names.begin(), names.end());
    for (auto &n : names) std::cout << n << ' ' << fs::is_symlink(n) << fs::is_directory(n) << "\n";
    std::cout << fs::file_size("copy/y/moved") << ' ' << fs::read_symlink("copy/y/link") << ' ' << fs::remove_all("copy") << "\n";
    std::error_code ec; fs::remove("nope/nope", ec); std::cout << ec.message() << "\n";
    try { fs::directory_iterator("nope"); } catch (const fs::filesystem_error &e) { std::cout << e.code().message() << "\n"; }
    std::ifstream in("x/y/file"); std::string line; int lines = 0; while (std::getline(in, line)) lines++;
    std::cout << lines << ' ' << std::regex_replace(std::string("a1b22"), std::regex("[0-9]+"), "#") << "\n";
    auto start = std::chrono::steady_clock::now();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    std::cout << (std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(20)) << "\n";
    std::map<std::string, int> words; std::istringstream text("to be or not to be");
    for (std::string w; text >> w;) words[w]++;
    for (auto &[w, n] : words) std::cout << w << n << ' ';
    std::cout << std::endl;
    throw 42;
}
CC
exec 2> log
g++ -std=c++20 -O1 -o m m.cc -pthread && ./m
echo $?
sed 's/^bash: line [0-9]*: *[0-9]* //' log
