defmodule Vllm.Telemetry do
  # The table @events describes every event: {name, when it is emitted, measurements, metadata}. The
  # documentation is made from it, and tests compare the emitted events with it.

  @duration {:duration, "how long it took, in the native time unit"}
  @monotonic {:monotonic_time, "the monotonic time of the event, in the native time unit"}
  @system {:system_time, "the system time of the event, in the native time unit"}

  @instance {:instance, "the instance's name"}
  @call [
    {:instance, "the instance's name, or `nil` if it is not yet known"},
    {:class, "the class, such as `\"AsyncLLM\"`"},
    {:method, "the method, such as `\"generate\"`"}
  ]
  # Of the calls themselves; the progress of a batch has no reference.
  @called @call ++
            [
              {:ref,
               "the reference of the object, such as an engine, or `nil` for a method of a class"}
            ]
  @tokens [
    {:input_tokens, "how many tokens the prompts have; absent if the answer does not say"},
    {:output_tokens,
     "how many tokens were generated; absent if the answer does not say, as with several completions " <>
       "of a request that come piece by piece"}
  ]
  @answered [
    {:response_model, "the model or adapter that the answer names, or `nil`"},
    {:finish_reasons,
     "why the completions ended, such as `[\"stop\"]`; `[]` if the answer does not say"}
  ]
  @exception [
    {:kind, "`:error`, `:exit` or `:throw`; `:exit` for a process that was killed"},
    {:reason, "what was raised, or the exit reason, such as `:killed`"},
    {:stacktrace, "the stack trace, with arities in place of arguments; `[]` if it is not known"}
  ]
  @stream @called ++ [{:request_id, "the request's id as the caller gave it, or `nil`"}]
  @streamed [
    {:items, "how many items the consumer has received"},
    {:duration, "from the sending of the request until now, in the native time unit"},
    {:time_to_first_item,
     "from the sending of the request to its first item, in the native time unit; absent if there " <>
       "was none"},
    @monotonic
  ]

  @engine_times [
    {:time_to_first_token,
     "from the arrival at the engine to the first token, in the native time unit, as vLLM measured it; " <>
       "absent without vLLM's statistics and with several completions"},
    {:time_per_output_token,
     "the mean time per token after the first one, likewise; absent with one token"},
    {:engine_duration, "from the arrival at the engine to the last token, likewise"}
  ]

  @connected [
    @instance,
    {:incarnation, "the id of this run of the worker"},
    {:worker_version, "python_worker's version"},
    {:vllm_version, "vLLM's version, or `nil`"}
  ]
  @process [@instance, {:os_pid, "the worker's process id"}]
  @any_engine [
    @instance,
    {:engine, "the name it is declared under with `engines:`, or `nil`"},
    {:ref, "its reference"}
  ]
  @declared [@instance, {:engine, "the name it is declared under with `engines:`"}]

  @small_model [{:model, "the model's name, such as `\"smollm2-135m-instruct\"`"}]

  @mellea [
    {:backend, "the backend, `\"LocalVLLMBackend\"`"},
    {:method,
     "`\"generate_from_context\"` or `\"generate_from_raw\"` of a backend, `\"instruct\"`, `\"chat\"` or " <>
       "`\"validate\"` of a session"},
    {:num_actions, "how many texts are asked for"}
  ]

  # The worker sends them under these names; the first is a property of the engine.
  @numbers [
    requests_unfinished: "requests that were accepted and have not ended",
    requests_running: "requests in the last step",
    requests_waiting: "requests in the queue after the last step",
    kv_cache_usage: "the part of the KV cache that is in use, 0.0 to 1.0",
    prefix_cache_queries: "total of tokens looked up in the prefix cache",
    prefix_cache_hits: "total of tokens found there",
    draft_tokens: "total of tokens proposed by speculative decoding",
    draft_tokens_accepted: "total of proposed tokens that were accepted",
    prompt_tokens: "total of prompt tokens that were processed",
    prompt_tokens_cached: "total of prompt tokens that were taken from a cache",
    generation_tokens: "total of generated tokens",
    preemptions: "total of preempted requests",
    first_tokens: "total of first tokens",
    time_to_first_token_s: "total seconds until the first tokens",
    later_tokens: "total of intervals between two tokens of a request",
    inter_token_latency_s: "total seconds of those intervals",
    requests_finished: "total of requests that have finished; aborted ones are not counted",
    queue_time_s: "total seconds that finished requests had waited for their first step",
    request_time_s: "total seconds that finished requests had taken"
  ]

  @events [
    {[:vllm, :call, :start], "A call is about to be encoded and sent by the calling process.",
     [@system, @monotonic], @called},
    {[:vllm, :call, :stop],
     "The call has returned. A call that streams returns when the engine has accepted it.",
     [@duration, @monotonic] ++ @tokens,
     @called ++
       @answered ++ [{:result, "`:ok`, or the kind of the `Vllm.Error` that it returned"}]},
    {[:vllm, :call, :exception],
     "The call has raised, because of a bug in the bridge or an argument of a wrong type. Or the " <>
       "calling process was killed, and the call is cancelled.", [@duration, @monotonic],
     @called ++ @exception},
    {[:mellea, :generate, :start],
     "A backend or a session of `Vllm.Mellea` is about to be called.", [@system, @monotonic],
     @mellea},
    {[:mellea, :generate, :stop],
     "The call has returned. That of `generate_from_context` returns when the text has begun.",
     [@duration, @monotonic],
     @mellea ++ [{:result, "`:ok`, or the kind of the `Vllm.Error` that it returned"}]},
    {[:mellea, :generate, :exception], "The call has raised, or its process was killed.",
     [@duration, @monotonic], @mellea ++ @exception},
    {[:vllm, :llm, :progress],
     "A batch of a `Vllm.LLM`, a batch of `Vllm.embed/3` and its like that takes longer than half a " <>
       "second, or a dataset of `Vllm.LlamaFactory.VllmInfer` has come further; at most ten times a " <>
       "second. Emitted by the calling process, unless the call was given `use_tqdm: false`.",
     [
       {:done, "how many are done"},
       {:total, "how many there are, or 0 if that is not known"},
       {:duration, "the time since the beginning, in the native time unit"}
     ],
     @call ++
       [
         {:description, "what is counted, such as `\"Processed prompts\"`"},
         {:note, "more about it, such as the speed, as a string"}
       ]},
    {[:vllm, :stream, :start], "A process has begun to enumerate a stream.",
     [@system, @monotonic], @stream},
    {[:vllm, :stream, :first_item],
     "The process has received the first item, and is about to pass it to the consumer's function.",
     [
       {:duration, "from the sending of the request until now, in the native time unit"},
       @monotonic
     ], @stream},
    {[:vllm, :stream, :stop],
     "The enumeration has ended, other than by an exception of the consumer. Tokens and reasons are " <>
       "those of the last item that it received.", @streamed ++ @tokens ++ @engine_times,
     @stream ++
       @answered ++
       [
         {:result,
          "`:ok` after the last item, `:halted` if the consumer ended it early, or the kind of the " <>
            "`Vllm.Error`, such as `:cancelled`, `:timeout` or `:engine_dead`"}
       ]},
    {[:vllm, :stream, :exception],
     "The consumer's function has raised, thrown or exited, or its process was killed. The request is " <>
       "aborted.", @streamed, @stream ++ @exception},
    {[:vllm, :connection, :up], "The session with a worker is open.", [@duration], @connected},
    {[:vllm, :connection, :down],
     "The session has ended. Every call in flight is answered with the reason.",
     [
       {:duration, "how long the session lasted, in the native time unit"},
       {:calls, "how many calls were in flight"}
     ],
     @connected ++
       [{:error, "the `Vllm.Error` that ended it, or `nil` if the instance was stopped"}]},
    {[:vllm, :worker, :start], "A worker's process has been started.", [@system], @process},
    {[:vllm, :worker, :ready], "The worker serves.", [@duration],
     @process ++
       [
         {:address, "the address where it opens sessions"},
         {:grpc_address, "the address where it serves gRPC, or `nil` if it does not"}
       ]},
    {[:vllm, :worker, :exit],
     "The worker's process and all processes that it had started have ended. Also emitted for a " <>
       "worker that never served.", [{:duration, "how long it ran, in the native time unit"}],
     @process ++ [{:status, "its exit status, above 128 for a signal, or `nil` if not known"}]},
    {[:vllm, :engine, :up], "A declared engine is ready.", [@duration],
     @declared ++ [{:ref, "its reference"}]},
    {[:vllm, :engine, :failed], "A declared engine did not start.", [@duration],
     @declared ++ [{:error, "the `Vllm.Error`"}]},
    {[:vllm, :engine, :down], "An engine has died, declared or not.", [],
     @any_engine ++ [{:reason, "the reason as a string"}]},
    {[:vllm, :engine, :stalled],
     "An engine with requests has produced no output for too long; see *Engines that hang* in `Vllm`.",
     [
       {:duration, "for how long, in the native time unit"},
       {:requests, "how many requests it has"}
     ], @any_engine},
    {[:vllm, :engine, :recovered], "An engine that hung makes progress again.",
     [{:duration, "for how long it made none, in the native time unit"}], @any_engine},
    {[:vllm, :engine, :adapter_partly_used],
     "An engine has loaded a LoRA adapter, by `add_lora` or with a request, of which a part has no " <>
       "effect. Emitted within a tenth of a second. In names of modules, `*` stands for the number of a " <>
       "layer. The worker's log has the same as a warning.", [],
     @any_engine ++
       [
         {:lora_name, "as in the `Vllm.LoRARequest`"},
         {:lora_int_id, "as in the `Vllm.LoRARequest`"},
         {:lora_path, "the adapter's folder"},
         {:unknown_modules, "modules of the adapter that the model does not have"},
         {:base_tensors, "tensors of the base model itself, which are not loaded"},
         {:empty_targets, "`target_modules` of its configuration for which it has no weights"},
         {:model_modules, "the modules that the model takes"}
       ]},
    {[:vllm, :pool, :moved],
     "A request that a member of a `Vllm.Pool` has not accepted is about to be sent to another one, by the " <>
       "calling process. Each attempt is a call of its own.",
     [{:attempt, "the number of the attempt that follows, from 2"}],
     [
       {:pool, "the pool's name"},
       {:engine, "the name of the engine"},
       {:method, "the method, such as `\"generate\"`"},
       {:from, "the instance that has not accepted it, `{name, node}`"},
       {:to, "the instance that it is sent to"},
       {:error, "the `Vllm.Error` of the attempt before"}
     ]},
    {[:vllm, :small_model, :step], "`Vllm.SmallModel` has begun a step of making a model.",
     [{:duration, "since the call, in the native time unit"}],
     @small_model ++ [{:text, "the step, to be read by a person"}]},
    {[:vllm, :small_model, :made], "`Vllm.SmallModel` has made a model.", [@duration],
     @small_model ++ [{:path, "its folder"}]},
    {[:vllm, :small_model, :failed], "`Vllm.SmallModel` could not make a model.", [@duration],
     @small_model ++ [{:error, "the `Vllm.Error`"}]},
    {[:vllm, :instance, :metrics], "Once in each `metrics_interval:`, for the instance.",
     [
       {:calls, "how many calls are in flight, including streams"},
       {:messages, "how many messages are in the mailbox of the connection's process"}
     ], [@instance]},
    {[:vllm, :engine, :metrics],
     "Once in each `metrics_interval:`, for each engine with metrics: what `Vllm.metrics/1` returns.",
     @numbers,
     @any_engine ++
       [
         {:model, "the name its model is served under"},
         {:token_path,
          "`:direct` if tokens are taken from vLLM's request states, `:outputs` if vLLM makes every " <>
            "output"},
         {:token_path_reason, "why the path is not `:direct`, or `nil`"}
       ]}
  ]

  fields = fn
    [] -> "none"
    list -> Enum.map_join(list, "\n", fn {key, text} -> "      * `#{inspect(key)}` - #{text}" end)
  end

  documentation =
    Enum.map_join(@events, "\n", fn {name, text, measurements, metadata} ->
      """
      ### `#{inspect(name)}`

      #{text}

        * Measurements: #{if measurements == [], do: "none"}
      #{if measurements != [], do: fields.(measurements)}
        * Metadata:
      #{fields.(metadata)}
      """
    end)

  @moduledoc """
  The events that this library emits if the application has `:telemetry` loaded. Without it nothing is
  measured.

  Each `start` is followed by exactly one `stop` or `exception`. The process that calls, or that
  enumerates a stream, emits both. If that process is killed, another process on the same node emits
  the `exception`. A suspended enumeration that is never resumed ends with its process.

  Events hold no prompts and no outputs, with two exceptions: `:reason` of
  `[:vllm, :call, :exception]` and `[:vllm, :stream, :exception]` is whatever your own code raised, and
  the message of an `:error` may quote an argument that was refused.

  The guide *Telemetry* shows how to use them. `Vllm.Telemetry.GenAI` gives them OpenTelemetry's names.

  #{documentation}
  """

  @doc "The names of all events, for `:telemetry.attach_many/4`."
  @spec events() :: [[atom()]]
  def events, do: for({name, _text, _measurements, _metadata} <- @events, do: name)

  @doc false
  @spec table() :: [{[atom()], String.t(), keyword(), keyword()}]
  def table, do: @events

  @doc false
  # The metrics of an engine and their meaning.
  @spec numbers() :: keyword(String.t())
  def numbers, do: @numbers
end
