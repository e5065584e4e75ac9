defmodule Vllm.VllmEngine do
  @moduledoc false
  # Real engines on CPU, for the lane `vllm`: one worker for all modules of the lane, and of each
  # kind of engine one. It is built for the first module that names it, which takes 10 to 25 s, and
  # shut down after the last, because an engine takes 1 to 2 GB.
  #
  #     use Vllm.VllmEngine, engine: :scripted, also: [random: :random]
  #
  # puts `engine` and `random` into the context of every test of the module. The modules are not
  # async: what counts requests must not see those of another.
  #
  # The models of the engines :chat and :embed are downloaded when they are first used. Where one
  # cannot be, the module's tests are skipped, and the message says why.

  use ExUnit.CaseTemplate

  alias Vllm.{AsyncLLM, SmallModel, TinyModel}

  @instance Vllm.VllmLane

  # The same as in the Makefile, for a lane that is run without it. There each has its reason.
  @environment %{
    "HF_HUB_OFFLINE" => "1",
    "VLLM_NO_USAGE_STATS" => "1",
    "VLLM_CPU_KVCACHE_SPACE" => "1",
    "OMP_NUM_THREADS" => "1",
    "TORCHDYNAMO_DISABLE" => "1",
    "VLLM_CPU_OMP_THREADS_BIND" => "nobind"
  }

  # The model runs in EngineCore's own process: half the memory, and half the time to start. Where the two
  # are processes they wait for each other in loops, beside which the BEAM of the test gets no core for
  # seconds on a busy machine. This division, vLLM's own on a CPU, is that of `divided` and of the Python lane.
  @one_process [
    distributed_executor_backend: "vllm.v1.executor.uniproc_executor.UniProcExecutor"
  ]

  @engines %{
    # Room for a request that is still running when the next call comes.
    scripted: {:scripted, @one_process ++ [max_model_len: 2048]},
    divided: {:scripted, [max_model_len: 2048]},
    random: {:random, @one_process ++ [max_model_len: 512]},
    # One sequence at a time, so that only the priority decides which request is first. It publishes
    # what its KV cache stores.
    limited:
      {:scripted,
       @one_process ++
         [
           max_model_len: 512,
           max_logprobs: 1,
           logprobs_mode: "processed_logits",
           scheduling_policy: "priority",
           kv_events_config: %{
             enable_kv_cache_events: true,
             endpoint: "ipc://#{System.tmp_dir!()}/vllm-kv-#{System.pid()}",
             replay_endpoint: "ipc://#{System.tmp_dir!()}/vllm-kv-#{System.pid()}-replay"
           },
           max_num_seqs: 1
         ]},
    # Few slots, so that adapters have to give way to each other.
    lora:
      {:scripted,
       @one_process ++
         [
           max_model_len: 2048,
           enable_lora: true,
           max_loras: 4,
           max_cpu_loras: 4,
           max_lora_rank: 16,
           logits_processors: ["python_worker.testing.logits_processor:OnlyToken"]
         ]},
    # Little room in its queue, and vLLM's processes fail where a test wants them to.
    faulty:
      {:scripted,
       @one_process ++
         [
           max_model_len: 2048,
           max_num_queued_reqs: 2,
           scheduler_cls: "tests.python.support.faults.FaultyScheduler",
           worker_extension_cls: "tests.python.support.faults.FaultyWorker"
         ]},
    pooling: {:random, @one_process ++ [max_model_len: 512, runner: "pooling"]},
    # Its head takes adapters, though no test has one for it: vLLM keeps a list of them all the same.
    classify:
      {{:classify, labels: 2},
       @one_process ++ [max_model_len: 512, enable_lora: true, max_lora_rank: 8]},
    # A model that looks at images, in files too.
    sees:
      {:llava,
       @one_process ++
         [
           max_model_len: 512,
           limit_mm_per_prompt: %{image: 2},
           skip_mm_profiling: true,
           allowed_local_media_path: System.tmp_dir!()
         ]},
    # Sentences of similar meaning have similar embeddings.
    embed: {:embed, @one_process ++ [runner: "pooling", max_model_len: 256]},
    # A model that answers in words. Its tokens take forty times the memory of the others'.
    chat:
      {:chat,
       @one_process ++ [max_model_len: 2048, dtype: "bfloat16", num_gpu_blocks_override: 64]}
  }

  # Building an engine, on a machine that has something else to do as well. It only ends what hangs.
  @timeout 300_000

  using options do
    quote do
      import Vllm.FakeWorkerCase, only: [wait_until: 1]
      import Vllm.VllmEngine

      alias Vllm.{AsyncLLM, CompletionOutput, Error, Ref, RequestOutput, SamplingParams, Stream}

      @moduletag :vllm
      @moduletag timeout: unquote(@timeout)

      @engines unquote(Keyword.take(options, [:engine]) ++ Keyword.get(options, :also, []))
      if reason = Enum.find_value(@engines, fn {_name, kind} -> unavailable(kind) end),
        do: @moduletag(skip: reason)

      def engine_kinds, do: Keyword.values(@engines)

      setup_all do
        on_exit(fn -> leave(__MODULE__) end)
        Map.new(@engines, fn {name, kind} -> {name, engine(kind)} end)
      end
    end
  end

  def instance do
    unless Process.whereis(@instance), do: start()
    @instance
  end

  # Engines are handed from module to module, so the worker may not end with the first of them.
  defp start do
    put_environment()

    {:ok, pid} =
      Vllm.start_link(
        name: @instance,
        start_timeout: @timeout,
        # No test measures when outputs come, and on a busy machine engines would start late.
        nice: 0,
        engine_class: "tests.python.support.reference_engine:ReferenceAsyncLLM",
        env: [{"PYTHONPATH", File.cwd!()}]
      )

    Process.unlink(pid)
    {:ok, %{"pid" => os_pid}} = Vllm.status(@instance)

    ExUnit.after_suite(fn _result ->
      ExUnit.CaptureLog.capture_log(fn -> Supervisor.stop(pid, :shutdown, 300_000) end)
      [] = left(os_pid, 3_000)
    end)
  end

  def put_environment do
    for {name, value} <- @environment,
        System.get_env(name) == nil,
        do: System.put_env(name, value)
  end

  def engine(kind) do
    with nil <- :persistent_term.get({@instance, kind}, nil) do
      engine = build!(kind)
      ExUnit.CaptureLog.capture_log(fn -> settle_structures(engine, kind) end)
      :persistent_term.put({@instance, kind}, engine)
      engine
    end
  end

  # Shuts down the engines that no later module names. Nobody waits for it, it takes seconds.
  def leave(module) do
    ended = [module | :persistent_term.get({@instance, :ended}, [])]
    :persistent_term.put({@instance, :ended}, ended)

    wanted =
      for {other, _file} <- :code.all_loaded(),
          function_exported?(other, :engine_kinds, 0),
          other not in ended,
          kind <- other.engine_kinds(),
          do: kind

    for kind <- module.engine_kinds() -- wanted,
        engine = :persistent_term.get({@instance, kind}, nil) do
      :persistent_term.erase({@instance, kind})
      Task.start(fn -> ExUnit.CaptureLog.capture_log(fn -> AsyncLLM.shutdown(engine) end) end)
    end
  end

  # The first request with a structure decides which back end compiles those of all others, as long as
  # the engine lives. So that tests may come in any order, the first is one for xgrammar.
  defp settle_structures(engine, kind) when kind in [:scripted, :divided, :random, :limited] do
    params = [max_tokens: 16, structured_outputs: [choice: ["settled"]]]
    ExUnit.Assertions.assert(text(complete(engine, "Hello", params)) == "settled")
  end

  defp settle_structures(_engine, _kind), do: :ok

  # vLLM logs much while it builds an engine, and outside of tests it is not captured.
  def build!(kind) do
    {result, log} = ExUnit.CaptureLog.with_log(fn -> build(kind) end)

    case result do
      {:ok, engine} -> engine
      {:error, error} -> raise "no #{kind} engine: #{Exception.message(error)}\n#{log}"
    end
  end

  def build(kind, more \\ []), do: AsyncLLM.from_engine_args(instance(), arguments(kind, more))

  def arguments(kind, more \\ []) do
    {model, arguments} = Map.fetch!(@engines, kind)

    [model: model(model)]
    |> Keyword.merge(common())
    |> Keyword.merge(arguments)
    |> Keyword.merge(more)
  end

  # float32, because the scripted model's words are exact only there. So few blocks, because
  # filling the cache is a sixth of the time to start.
  defp common do
    [dtype: "float32", enforce_eager: true, num_gpu_blocks_override: 256]
  end

  def model({kind, options}) do
    {:ok, folder} = TinyModel.make(kind, options)
    folder
  end

  def model(kind) when kind in [:chat, :embed], do: SmallModel.path!(kind)

  def model(:llava) do
    folder = Path.join(Vllm.Environment.cache_dir(), "models/llava")
    module = "python_worker.testing.models.vision_models"
    {:ok, _lines, 0} = Vllm.Core.PythonCommand.run(module, [folder, "--kind", "llava"])
    folder
  end

  def model(kind), do: model({kind, []})

  # Why there is no model for an engine, or nil.
  def unavailable(kind) when kind in [:chat, :embed] do
    case SmallModel.path(kind) do
      {:ok, _folder} -> nil
      {:error, error} -> error.message
    end
  end

  def unavailable(_other), do: nil

  # The folders of LoRA adapters of the scripted model, by their names.
  def adapters(names) do
    {:ok, folders} = TinyModel.adapters(names)
    Map.new(Enum.zip(names, folders))
  end

  ## Requests

  def request_id, do: "req-#{System.unique_integer([:positive])}"

  # The last item of a request, which has to succeed.
  def complete(engine, prompt, params, opts \\ []) do
    {:ok, output} = engine |> generate(prompt, params, opts) |> Vllm.Stream.collect()
    output
  end

  def generate(engine, prompt, params, opts \\ []) do
    {:ok, stream} = AsyncLLM.generate(engine, prompt, params, request_id(), opts)
    stream
  end

  # The scripted model's answer to "Hello": its last token is the end of the sequence.
  def hello, do: " from a scripted Llama, token by token"

  # Its endless answer to "count".
  def counting(tokens) do
    ~w(one two three four five six seven eight)
    |> Elixir.Stream.cycle()
    |> Enum.take(tokens)
    |> Enum.map_join(&" #{&1}")
  end

  # A request that runs until something ends it, which has a second or more for that.
  def endless, do: [max_tokens: 2000, temperature: 0.0, output_kind: :DELTA]

  def text(%Vllm.RequestOutput{outputs: [completion]}), do: completion.text
  def ids(%Vllm.RequestOutput{outputs: [completion]}), do: completion.token_ids

  def unfinished(engine) do
    {:ok, count} = Vllm.call(engine, :get_num_unfinished_requests)
    count
  end

  # The engine is well: it answers, exactly, and no request is left in it.
  def assert_well(engine) do
    ExUnit.Assertions.assert(
      text(complete(engine, "Hello", max_tokens: 16, temperature: 0.0)) == hello()
    )

    Vllm.FakeWorkerCase.wait_until(fn -> unfinished(engine) == 0 end)
  end

  ## Processes

  # The living processes of a process group, zombies not counted, with their command lines.
  def group(leader) do
    for stat <- Path.wildcard("/proc/[0-9]*/stat"),
        {:ok, text} <- [File.read(stat)],
        # The name, in parentheses, may hold anything; what follows it does not.
        [state, _parent, group | _] = text |> String.split(")") |> List.last() |> String.split(),
        group == to_string(leader) and state != "Z" do
      folder = Path.dirname(stat)

      case File.read(Path.join(folder, "cmdline")) do
        {:ok, command} -> {Path.basename(folder), String.replace(command, <<0>>, " ")}
        {:error, _ended} -> {Path.basename(folder), ""}
      end
    end
  end

  # Polled, because there is no event for the end of another process's children.
  defp left(leader, tries) do
    case group(leader) do
      [_ | _] when tries > 0 ->
        Process.sleep(20)
        left(leader, tries - 1)

      processes ->
        processes
    end
  end
end
