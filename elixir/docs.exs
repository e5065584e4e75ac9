# What the documentation site shows, in which order: read by `mix docs` through mix.exs, and by
# tests/elixir/unit/documentation_test.exs, which holds that every guide and module has its place.

# Titles of groups, and the guides of each, in the order in which one reads them.
guides = [
  Introduction: ~w(getting_started iex cheatsheet moving_over),
  "Using engines":
    ~w(engines_and_references streaming chat structured_output sampling lora pooling multimodal errors),
  "In production":
    ~w(deployment pool several_hosts operations security tls telemetry testing performance compatibility
       upgrading_vllm troubleshooting),
  "Systems on the engines": ~w(mellea llama_factory providers ecosystem),
  "The bridge inside": ~w(architecture other_languages)
]

order = guides |> Keyword.values() |> List.flatten()
known = Map.new(Enum.with_index(order))

place = fn path ->
  name = path |> Path.basename() |> Path.rootname()
  {Map.get(known, name, map_size(known)), name}
end

pages = Enum.sort_by(Path.wildcard("elixir/guides/**/*.{md,cheatmd}"), place)
livebooks = Path.wildcard("elixir/examples/livebooks/*.livemd")

groups_for_extras =
  for {title, names} <- guides do
    {title, Enum.filter(pages, &(Path.rootname(Path.basename(&1)) in names))}
  end

# Functions of modules whose documentation does not say its group. Those that vLLM has say it.
functions = [
  {Vllm, "Instances and engines",
   ~w(start_link child_spec engine engines status metrics version initialize_ray_cluster top)a},
  {Vllm, "Chat", ~w(chat stream_chat json)a},
  {Vllm, "Embeddings, classes and scores", ~w(embed classify score encode)a},
  {Vllm, "References and modules", ~w(call release share module_attr kv_events)a},
  {Vllm.Test, "Start", ~w(start_link child_spec start_worker! engine! engines await_engine!)a},
  {Vllm.Test, "Answers", ~w(reply embed delay slow refuse refuse_admission fail fail_after)a},
  {Vllm.Test, "Faults",
   ~w(hang hang_after die die_after crash_worker fail_start delay_start mend print_megabytes)a},
  {Vllm.Test, "What was asked",
   ~w(requests chats calls aborted live release reset assert_aborted assert_called assert_chatted
      assert_generated assert_live)a}
]

listed = fn module, title ->
  fn metadata ->
    metadata[:module] == module and
      Enum.any?(functions, fn {of, group, names} ->
        of == module and group == title and metadata[:name] in names
      end)
  end
end

# The group that a function's documentation gives itself, in the words of vLLM's own modules.
declared = [
  Parameters: :parameters,
  Generation: :generation,
  Pooling: :pooling,
  Lifecycle: :lifecycle,
  Control: :control,
  LoRA: :lora,
  Cache: :cache,
  Weights: :weights,
  Profiling: :profiling,
  Introspection: :introspection,
  Distributed: :distributed,
  Internal: :internal
]

modules = [
  Engines: [
    Vllm,
    Vllm.AsyncLLM,
    Vllm.AsyncEngineArgs,
    Vllm.LLM,
    Vllm.EngineArgs,
    Vllm.Pool,
    Vllm.Stream,
    Vllm.Ref,
    Vllm.Call,
    Vllm.RequestOutputCollector,
    Vllm.AsyncLLMEngine,
    Vllm.LLMEngine,
    Vllm.KVEvents,
    Vllm.KVEventBatch,
    Vllm.Status
  ],
  "Requests and parameters": [
    Vllm.SamplingParams,
    Vllm.StructuredOutputsParams,
    Vllm.RepetitionDetectionParams,
    Vllm.BeamSearchParams,
    Vllm.PoolingParams,
    Vllm.LateInteractionParams,
    Vllm.LoRARequest,
    Vllm.PromptType,
    Vllm.TextPrompt,
    Vllm.TokensPrompt,
    Vllm.EmbedsPrompt,
    Vllm.ExplicitEncoderDecoderPrompt,
    Vllm.StreamingInput,
    Vllm.KvHintAction,
    Vllm.KvHintsEnvelope,
    Vllm.FaultToleranceRequest,
    Vllm.WeightTransferInitRequest,
    Vllm.WeightTransferUpdateRequest
  ],
  "Names of vLLM's settings": [
    Vllm.RequestOutputKind,
    Vllm.AttentionBackendEnum,
    Vllm.MambaBackendEnum,
    Vllm.OptimizationLevel,
    Vllm.UsageContext
  ],
  Outputs: [
    Vllm.RequestOutput,
    Vllm.CompletionOutput,
    Vllm.Logprob,
    Vllm.SamplingMask,
    Vllm.BeamSearchOutput,
    Vllm.BeamSearchSequence,
    Vllm.RequestError,
    Vllm.RequestStateStats,
    Vllm.RequestSpecDecodeMetrics,
    Vllm.WeightVersionSpan,
    Vllm.FaultToleranceResult
  ],
  Chat: [
    Vllm.Chat,
    Vllm.Tool,
    Vllm.ChatCompletion,
    Vllm.ChatChoice,
    Vllm.ChatMessage,
    Vllm.ChatDelta,
    Vllm.ChatUsage,
    Vllm.ToolCall,
    Vllm.ToolCallDelta,
    Vllm.TokenLogprob
  ],
  Pooling: [
    Vllm.Pooling,
    Vllm.EmbeddingBatch,
    Vllm.ClassificationBatch,
    Vllm.ScoreBatch,
    Vllm.PoolingBatch,
    Vllm.PoolingUsage,
    Vllm.PoolingOutput,
    Vllm.PoolingRequestOutput,
    Vllm.EmbeddingOutput,
    Vllm.EmbeddingRequestOutput,
    Vllm.ClassificationOutput,
    Vllm.ClassificationRequestOutput,
    Vllm.ScoringOutput,
    Vllm.ScoringRequestOutput
  ],
  Values: [Vllm.Tensor, Vllm.Bytes, Vllm.Encoder, Vllm.Codec, Vllm.Classes],
  "Errors and telemetry": [
    Vllm.Error,
    Vllm.Telemetry,
    Vllm.Telemetry.GenAI,
    Vllm.Counter,
    Vllm.Gauge,
    Vllm.Histogram,
    Vllm.Vector
  ],
  "Set-up": [Vllm.Environment, Vllm.Doctor, Vllm.SmallModel],
  "Other libraries": [Vllm.Serving, Vllm.LangChain, Vllm.LiveDashboard, Vllm.Kino],
  Testing: [Vllm.Test, Vllm.Test.Chat, Vllm.Test.Request, Vllm.TinyModel],
  "Inference providers": ~r/^Vllm\.Inference\b/,
  Mellea: ~r/^Vllm\.Mellea\b/,
  "LLaMA-Factory": ~r/^Vllm\.LlamaFactory\b/
]

# Generated for the bridge itself: the messages of the wire.
internal? = &match?(["Vllm", "Proto" | _], Module.split(&1))

[
  main: "readme",
  formatters: ["html"],
  extra_section: "Guides",
  extras: ["README.md"] ++ pages ++ livebooks ++ ["CHANGELOG.md"],
  groups_for_extras: groups_for_extras ++ [Livebooks: livebooks, About: ["CHANGELOG.md"]],
  # The README links to it.
  assets: %{"proto" => "proto"},
  groups_for_modules: modules,
  groups_for_docs:
    for({module, title, _names} <- functions, do: {title, listed.(module, title)}) ++
      for({title, group} <- declared, do: {title, &(&1[:group] == group)}),
  nest_modules_by_prefix: [
    Vllm.Inference,
    Vllm.Mellea,
    Vllm.Mellea.Backends,
    Vllm.LlamaFactory,
    Vllm.LlamaFactory.Chat
  ],
  filter_modules: fn module, _metadata -> not internal?.(module) end
]
