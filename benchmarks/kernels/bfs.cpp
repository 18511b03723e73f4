extern "C" void bfs(int vertices, int level, const int *__restrict starts, const int *__restrict edges, int *distance) {
#pragma omp parallel for schedule(dynamic, 1024)
  for (int v = 0; v < vertices; v++) {
    if (distance[v] != level) continue;
    for (int e = starts[v]; e < starts[v + 1]; e++) {
      int w = edges[e];
      if (distance[w] < 0 || distance[w] > level) distance[w] = level + 1;
    }
  }
}
