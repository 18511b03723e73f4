#include "driver/graph_conditional.h"

#include <unordered_map>

#include "driver/context.h"
#include "driver/memory.h"
#include "exec/offspring.h"

namespace anywarp::driver {
namespace {

// Conditions by handle, for nodes that are added later.
struct Conditions {
  std::mutex mutex;
  std::unordered_map<CUgraphConditionalHandle, std::weak_ptr<Condition>> all;
};
Conditions& conditions() {
  static auto* c = new Conditions;
  return *c;
}

CUgraphConditionalHandle handle_of(const Condition& condition) { return reinterpret_cast<CUgraphConditionalHandle>(condition.word); }

std::shared_ptr<CUgraph_st> new_body() {
  CUgraph graph = nullptr;
  if (graphCreate(&graph, 0) != CUDA_SUCCESS) throw std::bad_alloc();
  graph->is_owned = true;
  return std::shared_ptr<CUgraph_st>(graph);
}

std::shared_ptr<std::vector<CUgraph>> handles_of(const std::vector<std::shared_ptr<CUgraph_st>>& bodies) {
  auto handles = std::make_shared<std::vector<CUgraph>>();
  for (const auto& body : bodies) handles->push_back(body.get());
  return handles;
}

// One launch of a conditional node. Whoever reads the condition enqueues the body, and behind it the next look at the condition.
struct Run : std::enable_shared_from_this<Run> {
  Run(ConditionalWork w, Context& c, GraphLaunch g)
      : work(std::move(w)), graph_launch(std::move(g)), context(c), stream(c.create_stream(Stream::Type::non_blocking)) {}
  const ConditionalWork work;
  GraphLaunch graph_launch;
  Context& context;
  const StreamRef stream;  // the bodies'
  std::atomic<bool> done{false};

  void finish() {
    done.store(true, std::memory_order_release);
    context.forget(stream);
  }

  const CUgraph_st* body() const {
    const std::uint32_t value = __atomic_load_n(work.condition->word, __ATOMIC_SEQ_CST);
    switch (work.type) {
      case CU_GRAPH_COND_TYPE_SWITCH: return value < work.bodies.size() ? work.bodies[value].get() : nullptr;
      case CU_GRAPH_COND_TYPE_WHILE: return value ? work.bodies[0].get() : nullptr;
      default: return value ? work.bodies[0].get() : work.bodies.size() > 1 ? work.bodies[1].get() : nullptr;
    }
  }

  void look(Result state) {
    const CUgraph_st* graph = state == Result::success ? body() : nullptr;
    if (!graph) return finish();
    CUresult result = CUDA_SUCCESS;
    for (const CUgraphNode node : ordered_nodes(*graph)) {
      if (result == CUDA_SUCCESS) result = enqueue(node->work, *stream, &graph_launch);
    }
    if (result == CUDA_SUCCESS) {
      const bool again = work.type == CU_GRAPH_COND_TYPE_WHILE;
      result = static_cast<CUresult>(stream->task([run = shared_from_this(), again](Result then) { again ? run->look(then) : run->finish(); }));
    }
    if (result == CUDA_SUCCESS) return;
    context.fail(static_cast<Result>(result), "anywarp: the graph of a conditional node could not be run");
    finish();
  }
};

}  // namespace

Condition::~Condition() {
  {
    Conditions& c = conditions();
    const std::lock_guard lock(c.mutex);
    c.all.erase(handle_of(*this));
  }
  [[maybe_unused]] const Result freed = arena().free(word);
}

CUresult graphConditionalHandleCreate(CUgraphConditionalHandle* handle, CUgraph graph, CUcontext context, unsigned default_value, unsigned flags) {
  if (!handle || !is_valid(graph) || (flags & ~CU_GRAPH_COND_ASSIGN_DEFAULT) != 0) return CUDA_ERROR_INVALID_VALUE;
  if (!context) context = top_context();
  ANYWARP_TRY(check_context(context));
  void* word = nullptr;
  ANYWARP_TRY(api(arena().allocate(context->device, sizeof(std::uint32_t), 256, memory::Kind::internal, nullptr, 0, &word)));
  auto condition = std::make_shared<Condition>(static_cast<std::uint32_t*>(word), default_value, (flags & CU_GRAPH_COND_ASSIGN_DEFAULT) != 0);
  *condition->word = default_value;
  graph->conditions.push_back(condition);
  *handle = handle_of(*condition);
  Conditions& c = conditions();
  const std::lock_guard lock(c.mutex);
  c.all[*handle] = condition;
  return CUDA_SUCCESS;
}

CUresult make_conditional_work(CUDA_CONDITIONAL_NODE_PARAMS& p, Work* out) {
  ConditionalWork work;
  {
    Conditions& c = conditions();
    const std::lock_guard lock(c.mutex);
    const auto found = c.all.find(p.handle);
    work.condition = found == c.all.end() ? nullptr : found->second.lock();
  }
  if (!work.condition || work.condition->used || p.type > CU_GRAPH_COND_TYPE_SWITCH) return CUDA_ERROR_INVALID_VALUE;
  const unsigned most = p.type == CU_GRAPH_COND_TYPE_IF ? 2 : p.type == CU_GRAPH_COND_TYPE_WHILE ? 1 : ~0u;
  if (p.size == 0 || p.size > most) return CUDA_ERROR_INVALID_VALUE;
  work.type = p.type;
  for (unsigned i = 0; i < p.size; ++i) work.bodies.push_back(new_body());
  work.handles = handles_of(work.bodies);
  work.condition->used = true;
  p.phGraph_out = work.handles->data();
  *out = std::move(work);
  return CUDA_SUCCESS;
}

ConditionalWork copy_conditional(const ConditionalWork& work) {
  ConditionalWork copy{work.condition, work.type, {}, nullptr};
  for (const auto& body : work.bodies) copy.bodies.push_back(owned_copy(*body));
  copy.handles = handles_of(copy.bodies);
  return copy;
}

CUresult enqueue_conditional(const ConditionalWork& work, Stream& stream, GraphLaunch* graph) {
  if (graph) graph->need_offspring(stream.context());  // what the bodies' kernels start belongs to the graph
  // The run holds the bodies: the executable graph may be changed or destroyed meanwhile.
  const auto run = std::make_shared<Run>(work, stream.context(), graph ? *graph : GraphLaunch{});
  ANYWARP_TRY(api(stream.task([run](Result state) { run->look(state); })));
  return api(stream.poll([run] { return run->done.load(std::memory_order_acquire); }));
}

CUresult assign_defaults(const Work& work, Stream& stream) {
  const auto all_of = [&](const CUgraph_st& graph) -> CUresult {
    for (const auto& node : graph.nodes) ANYWARP_TRY(assign_defaults(node->work, stream));
    return CUDA_SUCCESS;
  };
  if (const auto* child = std::get_if<GraphWork>(&work)) return all_of(*child->graph);
  const auto* conditional = std::get_if<ConditionalWork>(&work);
  if (!conditional) return CUDA_SUCCESS;
  for (const auto& body : conditional->bodies) ANYWARP_TRY(all_of(*body));
  if (!conditional->condition->assigns_default) return CUDA_SUCCESS;
  return api(stream.task([condition = conditional->condition](Result) {
    __atomic_store_n(condition->word, condition->default_value, __ATOMIC_SEQ_CST);
  }));
}

}  // namespace anywarp::driver
