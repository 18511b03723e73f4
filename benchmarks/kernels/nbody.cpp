#include <cmath>

struct Body {
  float x, y, z, w;
};

extern "C" void nbody(int n, float softening, const Body *__restrict bodies, Body *__restrict out) {
#pragma omp parallel for
  for (int i = 0; i < n; i++) {
    float ax = 0, ay = 0, az = 0;
    for (int j = 0; j < n; j++) {
      float dx = bodies[j].x - bodies[i].x, dy = bodies[j].y - bodies[i].y, dz = bodies[j].z - bodies[i].z;
      float inverse = 1.0f / std::sqrt(dx * dx + dy * dy + dz * dz + softening);
      float s = bodies[j].w * inverse * inverse * inverse;
      ax += s * dx;
      ay += s * dy;
      az += s * dz;
    }
    out[i] = {ax, ay, az, 0};
  }
}
