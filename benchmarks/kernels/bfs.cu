#include "portable.h"

// One step of a breadth-first search, from the vertices of one level; a thread a vertex.
KERNEL void bfs(int vertices, int level, GLOBAL const int *__restrict__ starts, GLOBAL const int *__restrict__ edges, GLOBAL int *distance) {
  int v = blockIdx.x * blockDim.x + threadIdx.x;
  if (v >= vertices || distance[v] != level) return;
  for (int e = starts[v]; e < starts[v + 1]; e++) {
    int w = edges[e];
    if (distance[w] < 0 || distance[w] > level) distance[w] = level + 1;
  }
}
