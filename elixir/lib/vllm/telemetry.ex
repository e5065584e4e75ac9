defmodule Vllm.Telemetry do
  # Every event with what it means: the documentation below is made of this table, tests hold
  # what is emitted against it, and the guide names each.
  #
  # {name, when, measurements, metadata}
  @duration {:duration, "how long it took, in the native time unit"}
  @monotonic {:monotonic_time, "the monotonic time of the event, in the native time unit"}
  @system {:system_time, "the system time of the event, in the native time unit"}

  @instance {:instance, "the instance's name"}
  @call [
    {:instance, "the instance's name, or `nil` while it is not known"},
    {:class, "the class, such as `\"AsyncLLM\"`"},
    {:method, "the method, such as `\"generate\"`"}
  ]
  @exception [
    {:kind, "`:error`, `:exit` or `:throw`; `:exit` of a process that was ended"},
    {:reason, "what was raised, or the exit reason, such as `:killed`"},
    {:stacktrace, "where, with arities in place of arguments; `[]` where it is not known"}
  ]
  @stream @call ++ [{:request_id, "the request's id, as the caller gave it, or `nil`"}]
  @streamed [
    {:items, "how many items the consumer has had"},
    {:duration, "from the sending of the request until now, in the native time unit"},
    {:time_to_first_item,
     "from the sending of the request to its first item; absent without one"},
    @monotonic
  ]

  @connected [
    @instance,
    {:incarnation, "which run of the worker it is"},
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

  # As in python_worker/metrics.py; the first is the engine's own count.
  @numbers [
    requests_unfinished: "requests that were accepted and have not ended",
    requests_running: "requests that the last step has worked on",
    requests_waiting: "requests that waited for a place after the last step",
    kv_cache_usage: "the part of the KV cache that is in use, 0.0 to 1.0",
    prefix_cache_queries: "tokens that were looked up in the prefix cache, in all",
    prefix_cache_hits: "those of them that were there, in all",
    draft_tokens: "tokens proposed by speculative decoding, in all",
    draft_tokens_accepted: "those of them that were accepted, in all",
    prompt_tokens: "tokens of prompts that were worked on, in all",
    prompt_tokens_cached: "those of them that a cache saved the work for, in all",
    generation_tokens: "tokens generated, in all",
    preemptions: "requests that had to give up their place, in all",
    first_tokens: "first tokens of requests, in all",
    time_to_first_token_s: "seconds that the first tokens took, in all",
    later_tokens: "intervals between two tokens of a request, in all",
    inter_token_latency_s: "seconds of those intervals, in all",
    requests_finished: "requests that came to their end, in all; not those that were aborted",
    queue_time_s: "seconds that those had waited for their first step, in all",
    request_time_s: "seconds that those had taken, in all"
  ]

  @events [
    {[:vllm, :call, :start], "A call is about to be encoded and sent, by the process that calls.",
     [@system, @monotonic], @call},
    {[:vllm, :call, :stop],
     "The call has returned. For a call that streams this is when the engine accepted it.",
     [@duration, @monotonic],
     @call ++ [{:result, "`:ok`, or the kind of the `Vllm.Error` that it returned"}]},
    {[:vllm, :call, :exception],
     "The call has raised, which is a bug of the bridge or a wrong type given to it; or the process " <>
       "that made it was ended, and the call is cancelled.", [@duration, @monotonic],
     @call ++ @exception},
    {[:vllm, :stream, :start], "A process has begun to enumerate a stream.",
     [@system, @monotonic], @stream},
    {[:vllm, :stream, :first_item],
     "It has the first item, which is about to reach its function.",
     [
       {:duration, "from the sending of the request until now, in the native time unit"},
       @monotonic
     ], @stream},
    {[:vllm, :stream, :stop],
     "The enumeration has ended, in whatever way but a raise of its own.", @streamed,
     @stream ++
       [
         {:result,
          "`:ok` after the last item, `:halted` where the consumer ended it early, or the kind " <>
            "of the `Vllm.Error`, such as `:cancelled`, `:timeout` or `:engine_dead`"}
       ]},
    {[:vllm, :stream, :exception],
     "The consumer's own function has raised, thrown or exited, or its process was ended in the " <>
       "middle; the request is aborted.", @streamed, @stream ++ @exception},
    {[:vllm, :connection, :up], "The session with a worker is open.", [@duration], @connected},
    {[:vllm, :connection, :down],
     "The session has ended. Every call in flight is answered with the reason.",
     [
       {:duration, "how long the session lasted, in the native time unit"},
       {:calls, "how many calls were in flight"}
     ],
     @connected ++
       [{:error, "the `Vllm.Error` that ended it, or `nil` where the instance was stopped"}]},
    {[:vllm, :worker, :start], "A worker's process has been started.", [@system], @process},
    {[:vllm, :worker, :ready], "The worker serves.", [@duration],
     @process ++ [{:address, "where it listens"}]},
    {[:vllm, :worker, :exit],
     "The worker's process is gone, and all that it had started; also of one that never served.",
     [{:duration, "how long it ran, in the native time unit"}],
     @process ++ [{:status, "its exit status, above 128 for a signal, or `nil` if not known"}]},
    {[:vllm, :engine, :up], "A declared engine is ready.", [@duration],
     @declared ++ [{:ref, "its reference"}]},
    {[:vllm, :engine, :failed], "A declared engine did not start.", [@duration],
     @declared ++ [{:error, "the `Vllm.Error`"}]},
    {[:vllm, :engine, :down], "An engine has died, declared or not.", [],
     @any_engine ++ [{:reason, "a string"}]},
    {[:vllm, :engine, :stalled],
     "An engine with requests has put nothing out for too long; see *Engines that hang* in `Vllm`.",
     [
       {:duration, "for how long, in the native time unit"},
       {:requests, "how many requests it has"}
     ], @any_engine},
    {[:vllm, :engine, :recovered], "It moves again.",
     [{:duration, "for how long it did not, in the native time unit"}], @any_engine},
    {[:vllm, :instance, :metrics], "Each `metrics_interval:`, of each instance.",
     [
       {:calls, "how many calls are in flight: those that wait, and streams"},
       {:messages, "how many messages the connection's process has not read yet"}
     ], [@instance]},
    {[:vllm, :engine, :metrics],
     "Each `metrics_interval:`, of each engine that counts: what `Vllm.metrics/1` returns.",
     @numbers, @any_engine ++ [{:model, "the name that its model is served under"}]}
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
  The events that are emitted when the application has `:telemetry` loaded. Without it nothing is
  measured.

  Each start has exactly one end. A call that starts ends with one of `stop` and `exception`, in the
  process that calls; so does the enumeration of a stream, in the process that enumerates. For a
  process that is ended in the middle, even by `:kill`, the library tells it from another process on
  the same node; a suspended enumeration that nobody resumes ends with its process.

  No event holds a prompt or an output. The exceptions are `:reason` of `[:vllm, :call, :exception]`
  and `[:vllm, :stream, :exception]`, which are your own code's, and `:error`, whose message may
  quote an argument that was refused.

  The guide *Telemetry* shows how to use them.

  #{documentation}
  """

  @doc "The names of all events, for `:telemetry.attach_many/4`."
  @spec events() :: [[atom()]]
  def events, do: for({name, _text, _measurements, _metadata} <- @events, do: name)

  @doc false
  @spec table() :: [{[atom()], String.t(), keyword(), keyword()}]
  def table, do: @events

  @doc false
  # What vLLM counts of an engine, with what each number is.
  @spec numbers() :: keyword(String.t())
  def numbers, do: @numbers
end
