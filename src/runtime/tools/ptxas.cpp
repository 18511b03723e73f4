// A stand-in for the assembler `ptxas`: the output is the PTX text itself, which the driver takes as an image and compiles for this machine.
//
// Compilers of array programs start it under this name (`ptxas OPTION... INPUT -o OUTPUT`, `ptxas --version`). Options change machine
// code only and are passed over. The exit status is 0, or 1 with a line on stderr.

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <initializer_list>

namespace {

// Programs read the CUDA version from "release M.N"; 13.0 makes them write PTX of version 9.0 at most.
constexpr char kVersion[] = "Anywarp's stand-in for ptxas: PTX is passed through\nCuda compilation tools, release 13.0, V13.0.0\n";

int fail(const char* what, const char* name = "") {
  std::fprintf(stderr, "ptxas (anywarp): %s%s%s%s\n", what, name, errno ? ": " : "", errno ? std::strerror(errno) : "");
  return 1;
}

// Options whose value is the next argument, as `ptxas --help` documents them.
bool takes_value(const char* option) {
  for (const char* known : {"--gpu-name", "-arch", "--opt-level", "-O", "--maxrregcount", "-maxrregcount", "--machine", "-m", "--entry", "-e"})
    if (std::strcmp(option, known) == 0) return true;
  return false;
}

}  // namespace

int main(int count, char** arguments) {
  const char *input = nullptr, *output = "elf.o";
  for (int i = 1; i < count; ++i) {
    const char* a = arguments[i];
    if (std::strcmp(a, "--version") == 0 || std::strcmp(a, "-V") == 0) {
      std::fputs(kVersion, stdout);
      return 0;
    }
    if (std::strcmp(a, "-o") == 0 || std::strcmp(a, "--output-file") == 0) {
      if (++i == count) return fail("no file after ", a);
      output = arguments[i];
    } else if (std::strncmp(a, "--output-file=", 14) == 0) {
      output = a + 14;
    } else if (a[0] == '-' && a[1] != 0) {
      if (takes_value(a)) ++i;
    } else if (input) {
      return fail("more than one input: ", a);
    } else {
      input = a;
    }
  }
  if (!input) return fail("no input file");
  std::FILE* in = std::fopen(input, "rb");
  if (!in) return fail("cannot read ", input);
  std::FILE* out = std::fopen(output, "wb");
  if (!out) return fail("cannot write ", output);
  char buffer[1 << 16];
  std::size_t n;
  while ((n = std::fread(buffer, 1, sizeof buffer, in)) > 0)
    if (std::fwrite(buffer, 1, n, out) != n) return fail("cannot write ", output);
  if (std::ferror(in)) return fail("cannot read ", input);
  // The driver reads PTX up to its NUL; an image from a file would end without one.
  if (std::fputc(0, out) == EOF || std::fclose(out) != 0) return fail("cannot write ", output);
  return 0;
}
