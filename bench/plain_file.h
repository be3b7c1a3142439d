// Files that are only files: what a store's way to the disk and back is
// measured against. Of what fails here nothing is said; a benchmark that stands
// beside it needs the same disk.
#ifndef REPRISE_BENCH_PLAIN_FILE_H_
#define REPRISE_BENCH_PLAIN_FILE_H_

#include <cstdint>
#include <string>
#include <vector>

namespace reprise::bench {

// Writes so many bytes into a new file in pieces of 1 MiB and waits until they
// are on the disk; also every `sync_every` bytes, a multiple of that, if it is
// not 0.
void WritePlainFile(const std::string& path, uint64_t bytes,
                    uint64_t sync_every);

std::vector<std::string> FilesOf(const std::string& dir);
// Reads them from beginning to end, and answers how many bytes that were.
uint64_t ReadFiles(const std::vector<std::string>& files);
// Out of the page cache, so that the next read comes from the disk.
void ForgetFiles(const std::vector<std::string>& files);

}  // namespace reprise::bench

#endif  // REPRISE_BENCH_PLAIN_FILE_H_
