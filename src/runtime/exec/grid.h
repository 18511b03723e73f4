// A grid: one launch of a kernel, as a job of CTAs (or of clusters, whose CTAs are resident together on one thread).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "abi.h"
#include "fault.h"
#include "futex.h"
#include "item.h"
#include "launch.h"
#include "module.h"
#include "resident.h"

namespace anywarp {

class Grid;
class Offspring;

// The CTAs of one unit of a stepped grid, in flight on one thread at a time.
class Team {
 public:
  explicit Team(Ref<Grid> grid);
  // Runs other code than the grid's own, for the grid's CTAs; the caller keeps the grid.
  Team(const Grid& grid, const abi::Launch& launch, abi::SteppedEntry entry, const Needs& needs);

  Grid& grid() const { return *owner_; }
  // Room for the unit's CTAs: what a hand keeps, or new. False: no memory.
  bool provide(Hand& hand);
  bool provide(std::uint32_t smid);
  void start(std::uint64_t unit);
  // As Resident::run, over all CTAs. Left by a long jump on a fault: `running()` tells where.
  Resident::Outcome run(std::uint32_t rounds);
  bool progress() const { return progress_; }
  void move_to(const Hand& hand);
  void give_back(Hand& hand);
  Resident& running() const { return *ctas_[running_]; }

 private:
  bool join();

  Ref<Grid> owner_;  // if it runs for it
  const Grid& grid_;
  const abi::Launch& launch_;
  abi::SteppedEntry entry_;
  Needs needs_;
  std::vector<std::unique_ptr<Resident>> ctas_;
  std::vector<std::uint8_t*> bases_;  // of shared memory, by rank
  ClusterState cluster_;
  std::size_t running_ = 0;
  bool progress_ = false;
};

// While a unit is claimed and not finished, the launch is not complete, and its module, context and code are there. A hand that holds
// none looks at nothing but the grid itself: the job may be finished, and the program may have unloaded the module.
class Grid final : public Job {
 public:
  // Checks and makes a grid; see `prepare` in launch.h.
  static Result make(Context& context, Kernel& kernel, const LaunchShape& shape, const Arguments& arguments, Ref<Grid>* out, std::string* log);
  ~Grid() override;

  Progress run(Hand& hand) override;
  bool work(Hand& hand) override;
  // A team that this grid put aside goes on for some rounds; it is consumed when it ends. `finished`: this call finished the job.
  enum class Step { progress, idle, ended };
  Step step(Team& team, bool* finished);
  // More teams on this hand, since those it has wait. True if one was started.
  bool widen(Hand& hand, bool* finished);

  Context& context() const { return *context_; }
  const KernelCode& code() const { return *code_; }  // only while a unit is claimed: afterwards the module may be gone
  const abi::Launch& launch() const { return launch_; }
  std::uint32_t ctas_of_unit() const { return ctas_of_unit_; }
  std::uint64_t cta_of_unit(std::uint64_t unit, std::uint32_t rank) const;  // linear index
  std::uint64_t unit_of_cta(const std::uint32_t ctaid[3]) const;
  const Needs& needs() const { return needs_; }

  // Of a kernel that may start work: what it starts. Set before the grid runs.
  std::shared_ptr<Offspring> offspring;
  // Of such a kernel in a graph: the graph's, and the executable graph.
  const std::shared_ptr<Offspring>& graph_offspring() const { return graph_offspring_; }
  void set_graph(std::uint64_t exec, std::shared_ptr<Offspring> of_graph) {
    launch_.graph_exec = exec;
    graph_offspring_ = std::move(of_graph);
  }

 private:
  Grid() = default;
  bool work_straight(Hand& hand);
  bool work_stepped(Hand& hand);
  Step run(Team& team);
  void fail(Fault& fault, const Resident& where);
  bool is_late() const { return limits_.deadline_ns != 0 && now_ns() > limits_.deadline_ns; }
  bool stop(std::uint64_t units);  // cancels; `units` of the caller's are given up too. True: the job is finished
  void measure(std::uint64_t ns, std::uint64_t ctas);

  Context* context_ = nullptr;
  const KernelCode* code_ = nullptr;
  abi::Launch launch_{};
  std::uint64_t ctas_ = 0;
  std::uint64_t cta_ns_ = 0;  // a CTA's time, as earlier launches took; 0: not known
  std::uint32_t ctas_of_unit_ = 1;
  std::uint32_t clusters_[3] = {1, 1, 1};  // clusters of the grid in x, y, z
  Limits limits_;  // the context's, and the watchdog's
  bool straight_ = false, cooperative_ = false, may_spin_ = false;
  Needs needs_;
  std::uint32_t workspace_[2] = {sizeof workspace_, 0};  // abi::Launch::grid_workspace: size and barrier
  static constexpr std::size_t kInline = 256;
  alignas(16) std::uint8_t inline_params_[kInline];
  std::unique_ptr<std::uint8_t[]> params_;
  std::shared_ptr<Offspring> graph_offspring_;
  std::atomic<bool> failed_{false};            // somebody reports the first fault
  std::atomic<std::uint64_t> given_up_{0};     // units that were not started because of it
};

}  // namespace anywarp
