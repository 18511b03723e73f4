// A stand-in for the assembler `ptxas`: the output is the PTX text itself, which the driver takes as an image and compiles for this machine.
//
// Compilers of array programs start it under this name (`ptxas OPTION... INPUT -o OUTPUT`, `ptxas --version`). Options change machine
// code only and are passed over. The exit status is 0, or 1 with a line on stderr.

#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>

namespace {

// Programs read the CUDA version from "release M.N"; 13.0 makes them write PTX of version 9.0 at most.
constexpr char kVersion[] = "Anywarp's stand-in for ptxas: PTX is passed through\nCuda compilation tools, release 13.0, V13.0.0\n";

int fail(const std::string& message) {
  std::fprintf(stderr, "ptxas (anywarp): %s\n", message.c_str());
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
  std::string input, output = "elf.o";
  for (int i = 1; i < count; ++i) {
    const char* a = arguments[i];
    if (std::strcmp(a, "--version") == 0 || std::strcmp(a, "-V") == 0) {
      std::fputs(kVersion, stdout);
      return 0;
    }
    if (std::strcmp(a, "-o") == 0 || std::strcmp(a, "--output-file") == 0) {
      if (++i == count) return fail(std::string(a) + " wants a file");
      output = arguments[i];
    } else if (std::strncmp(a, "--output-file=", 14) == 0) {
      output = a + 14;
    } else if (a[0] == '-' && a[1] != 0) {
      if (takes_value(a)) ++i;
    } else {
      if (!input.empty()) return fail("more than one input: " + input + " and " + a);
      input = a;
    }
  }
  if (input.empty()) return fail("no input file");
  std::ifstream in(input, std::ios::binary);
  if (!in) return fail("cannot read " + input);
  std::ofstream out(output, std::ios::binary | std::ios::trunc);
  out << in.rdbuf();
  out.put('\0');  // the driver reads PTX up to its NUL; an image from a file would end without one
  out.flush();
  return out ? 0 : fail("cannot write " + output);
}
