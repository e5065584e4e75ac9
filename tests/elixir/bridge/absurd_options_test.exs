defmodule Vllm.Bridge.AbsurdOptionsTest do
  # Whatever a caller gives to a public function, the result is a value or the documented exception,
  # and the instance has the same processes afterwards. The functions are found by their documentation:
  # one that is in neither table fails the test.
  use ExUnit.Case, async: false

  import Vllm.BridgeCase

  alias Vllm.{Absurd, AsyncLLM, Environment, Error, InstanceProcesses, LLM, Ref, TinyModel}
  alias Vllm.Core.Call.Arguments
  alias Vllm.Core.Instance
  alias Vllm.Core.Instance.Watchdog
  alias Vllm.Core.Wire.TLS
  alias Vllm.LlamaFactory.Chat.VllmEngine
  alias Vllm.Mellea.Backends.LocalVLLMBackend

  # Tens of thousands of calls.
  @moduletag bridge: true, timeout: 900_000, tmp_dir: true

  # Nobody listens on it.
  @dead "http://127.0.0.1:1/v1"

  # An address where no worker is.
  @no_worker [connect: "tls://127.0.0.1:1", start_timeout: 0]

  @chat %Vllm.Mellea.ChatContext{}

  # function => {what it may return, a good value for each argument}. Each argument in turn gets every
  # value. `:value` is {:ok, _} or {:error, %Error{}}; `:done` may also be :ok; `:raises` is of the test
  # kit and of functions that say so.
  @functions %{
    {Vllm, :call} => {:value, [:engine, "echo", [], []]},
    {Vllm, :chat} => {:value, [:engine, "x", []]},
    {Vllm, :stream_chat} => {:value, [:engine, "x", []]},
    {Vllm, :json} => {:value, [:engine, "x", %{}, []]},
    {Vllm, :embed} => {:value, [:engine, ["x"], []]},
    {Vllm, :classify} => {:value, [:engine, ["x"], []]},
    {Vllm, :score} => {:value, [:engine, ["x"], ["y"], []]},
    {Vllm, :encode} => {:value, [:engine, ["x"], [task: "embed"]]},
    {Vllm, :kv_events} => {:value, [:engine, []]},
    {Vllm.KVEvents, :kv_events} => {:value, [:engine, []]},
    {Vllm.Pooling, :embed} => {:value, [:engine, ["x"], []]},
    {Vllm.Pooling, :classify} => {:value, [:engine, ["x"], []]},
    {Vllm.Pooling, :score} => {:value, [:engine, ["x"], ["y"], []]},
    {Vllm.Pooling, :encode} => {:value, [:engine, ["x"], [task: "embed"]]},
    {Vllm.Chat, :chat} => {:value, [:engine, "x", []]},
    {Vllm.Chat, :stream_chat} => {:value, [:engine, "x", []]},
    {Vllm.Chat, :json} => {:value, [:engine, "x", %{}, []]},
    {Vllm.Chat, :run_tools} => {:value, [:engine, "x", []]},
    {Vllm.Inference, :get_provider} => {:value, [nil, nil, :on_instance]},
    {Vllm.Inference, :get_provider_for_step} => {:value, [%{}, :on_instance]},
    {Vllm.Inference, :clear_cache} => {:value, [:on_instance]},
    {Vllm.Inference, :generate} => {:value, [:provider, "x", "m", []]},
    {Vllm.Inference, :load_adapter} => {:value, [:provider, "a", "/a", []]},
    {Vllm.Inference, :unload_adapter} => {:value, [:provider, "a", []]},
    {Vllm.Inference, :list_adapters} => {:value, [:provider, []]},
    {Vllm.Inference.VLLMProvider, :new} => {:value, [@dead, :on_instance]},
    {Vllm.Inference.OllamaProvider, :new} => {:value, [@dead, :on_instance]},
    {Vllm.Inference.LlamaCppProvider, :new} => {:value, [:on_instance]},
    {Vllm.Inference.TransformersProvider, :new} => {:value, [:on_instance]},
    {Vllm.Inference.TransformersProvider, :resolve_dtype} => {:value, [1, 1, :on_instance]},
    {Vllm.Inference.AsyncLLMProvider, :new} => {:value, [:engine, :on_instance]},
    {Vllm.LlamaFactory, :templates} => {:value, [:on_instance]},
    {Vllm.LlamaFactory.Tools, :extract} => {:value, ["default", "x", :on_instance]},
    {Vllm.LlamaFactory.Tools, :formats} => {:value, [:on_instance]},
    {Vllm.LlamaFactory.VllmInfer, :run} => {:value, [:hosted, [%{}], []]},
    {VllmEngine, :new} => {:value, [:fields, [], [], [], :on_engine]},
    {VllmEngine, :resolve_engine_args} => {:value, [:fields, [], [], [], :on_instance]},
    {Vllm.LlamaFactory.Chat.ChatModel, :new} => {:value, [:fields, :on_engine]},
    {VllmEngine, :chat} => {:value, [:hosted, "x", []]},
    {VllmEngine, :stream_chat} => {:value, [:hosted, "x", []]},
    {VllmEngine, :encode_prompt} => {:value, [:hosted, "x", []]},
    {VllmEngine, :get_scores} => {:value, [:hosted, ["x"], []]},
    {VllmEngine, :sampling_params} => {:value, [:hosted, 1, []]},
    {VllmEngine, :extract_tool} => {:value, [:hosted, "x", []]},
    {VllmEngine, :regularize_images} => {:value, [:hosted, [], []]},
    {VllmEngine, :regularize_videos} => {:value, [:hosted, [], []]},
    {VllmEngine, :regularize_audios} => {:value, [:hosted, [], []]},
    {VllmEngine, :template} => {:value, [:hosted, []]},
    {VllmEngine, :stop_token_ids} => {:value, [:hosted, []]},
    {VllmEngine, :engine} => {:value, [:hosted, []]},
    {VllmEngine, :engine_args} => {:value, [:hosted, []]},
    {VllmEngine, :engine_notes} => {:value, [:hosted, []]},
    {VllmEngine, :can_generate?} => {:value, [:hosted, []]},
    {VllmEngine, :last_request_id} => {:value, [:hosted, []]},
    {VllmEngine, :shutdown} => {:value, [:hosted, []]},
    {Vllm.LlamaFactory.Chat.ChatModel, :chat} => {:value, [:hosted, "x", []]},
    {Vllm.LlamaFactory.Chat.ChatModel, :stream_chat} => {:value, [:hosted, "x", []]},
    {Vllm.LlamaFactory.Chat.ChatModel, :achat} => {:value, [:hosted, "x", []]},
    {Vllm.LlamaFactory.Chat.ChatModel, :astream_chat} => {:value, [:hosted, "x", []]},
    {Vllm.LlamaFactory.Chat.ChatModel, :get_scores} => {:value, [:hosted, ["x"], []]},
    {Vllm.LlamaFactory.Chat.ChatModel, :aget_scores} => {:value, [:hosted, ["x"], []]},
    {Vllm.LlamaFactory.Chat.ChatModel, :shutdown} => {:value, [:hosted, []]},
    {Vllm.Mellea, :start_session} => {:value, [:backend, []]},
    {Vllm.Mellea, :instruct} => {:value, [:session, "x", []]},
    {Vllm.Mellea, :chat} => {:value, [:session, "x", []]},
    {Vllm.Mellea, :validate} => {:value, [:session, ["x"], []]},
    {Vllm.Mellea, :parse_json} => {:value, ["{}", :on_instance]},
    {Vllm.Mellea, :context} => {:value, [:session, []]},
    {Vllm.Mellea, :backend} => {:value, [:session, []]},
    {Vllm.Mellea, :reset} => {:value, [:session, []]},
    {Vllm.Mellea.Backends.LocalVLLMBackend, :new} => {:value, ["m", :on_engine]},
    {Vllm.Mellea.Backends.LocalVLLMBackend, :engine_args} => {:value, [:backend, []]},
    {Vllm.Mellea.Backends.LocalVLLMBackend, :to_mellea_model_opts_map} =>
      {:value, [:backend, []]},
    {Vllm.Mellea.Backends.LocalVLLMBackend, :from_mellea_model_opts_map} =>
      {:value, [:backend, []]},
    {Vllm.Mellea.Backends.LocalVLLMBackend, :effective_options} => {:value, [:backend, %{}, []]},
    {Vllm.Mellea.Backends.LocalVLLMBackend, :render_prompt} =>
      {:value, [:backend, "x", @chat, []]},
    {Vllm.Mellea.Backends.LocalVLLMBackend, :generate_from_context} =>
      {:value, [:backend, "x", @chat, []]},
    {Vllm.Mellea.Backends.LocalVLLMBackend, :generate_from_raw} =>
      {:value, [:backend, ["x"], @chat, []]},
    {Vllm.Mellea.Backends.LocalVLLMBackend, :processing} =>
      {:value, [:backend, :own_thunk, %Vllm.RequestOutput{outputs: []}, []]},
    {Vllm.Mellea.Backends.LocalVLLMBackend, :post_processing} =>
      {:value, [:backend, :own_thunk, "x", nil, false, [], nil, []]},
    {Vllm.Mellea.Backends.LocalVLLMBackend, :restart_engine} => {:value, [:backend, []]},
    {Vllm.Mellea.Backends.LocalVLLMBackend, :shutdown} => {:value, [:backend, []]},
    {Vllm.Mellea.ModelOutputThunk, :new} => {:value, [:backend, []]},
    {Vllm.Mellea.ModelOutputThunk, :is_computed} => {:value, [:thunk, []]},
    {Vllm.Mellea.ModelOutputThunk, :value} => {:value, [:thunk, []]},
    {Vllm.Mellea.ModelOutputThunk, :avalue} => {:value, [:thunk, []]},
    {Vllm.Mellea.ModelOutputThunk, :astream} => {:value, [:thunk, []]},
    {Vllm.Mellea.ModelOutputThunk, :to_stream} => {:value, [:thunk, []]},
    {Vllm.Mellea.ModelOutputThunk, :parsed_repr} => {:value, [:thunk, []]},
    {Vllm.Mellea.ModelOutputThunk, :tool_calls} => {:value, [:thunk, [], []]},
    {Vllm.Mellea.ModelOutputThunk, :generate_log} => {:value, [:thunk, []]},
    {Vllm.Mellea.ModelOutputThunk, :request_id} => {:value, [:thunk, []]},
    {Vllm.Mellea.ModelOutputThunk, :cancel} => {:value, [:thunk, []]},
    {Vllm.Mellea.TemplateFormatter, :new} => {:value, ["m", :on_instance]},
    {Vllm.Mellea.TemplateFormatter, :print} => {:value, [:formatter, "x", []]},
    {Vllm.Mellea.TemplateFormatter, :to_chat_messages} => {:value, [:formatter, ["x"], []]},
    {Vllm.Mellea.ToolCall, :validate_arguments} =>
      {:value, [%Vllm.Tool{name: "f"}, %{}, :on_instance]},
    {Vllm.Mellea.ToolCall, :call} => {:value, [%Vllm.Mellea.ToolCall{}, 1]},
    {Vllm, :engine} => {:value, [:instance, :it, 1]},
    {Vllm, :engines} => {:value, [:instance]},
    {Vllm, :metrics} => {:value, [:instance]},
    {Vllm, :status} => {:value, [:instance]},
    {Vllm, :top} => {:done, [{:options, [timeout: 0]}]},
    {Vllm, :release} => {:done, [:engine]},
    {Vllm, :share} => {:done, [:engine, :pid]},
    {Vllm, :child_spec} => {:raises, [[]]},
    {Vllm, :start_link} => {:value, [[]]},
    {Vllm.Pool, :start_link} => {:value, [[]]},
    {Vllm.Pool, :child_spec} => {:raises, [[]]},
    {Vllm.Pool, :pick} => {:value, [:pool, :it, []]},
    {Vllm.Pool, :each} => {:value, [:pool, :it, {:fun, &AsyncLLM.is_running/1}]},
    {Vllm.Pool, :members} => {:value, [:pool]},
    {Vllm.Call, :invoke} => {:value, [:engine, "echo", [1], [], []]},
    {Vllm.Call, :collect} => {:value, [:engine, "generate", ["x", [max_tokens: 1], "r"], [], []]},
    {Vllm.Call, :invoke_class} => {:value, ["AsyncLLM", "from_engine_args", 1, :class_arguments]},
    {Vllm, :version} => {:value, [:instance]},
    {Vllm, :module_attr} => {:value, [:instance, "version", "__version__"]},
    {Vllm, :initialize_ray_cluster} => {:value, [:engine, [], []]},
    {Vllm.RequestOutputCollector, :get} => {:value, [:collector, []]},
    {Vllm.RequestOutputCollector, :get_nowait} => {:value, [:collector, []]},
    {Vllm.RequestOutputCollector, :close} => {:value, [:collector, []]},
    {Vllm.RequestOutputCollector, :request_id} => {:value, [:collector]},
    {Vllm.Stream, :cancel} => {:done, [:stream]},
    {Vllm.Stream, :collect} => {:value, [:stream]},
    {Vllm.Serving, :run} => {:value, [:serving, ["x"]]},
    {Vllm.Environment, :python} => {:value, [nil]},
    {Vllm.Doctor, :run} => {:raises, [{:options, []}]},
    {Vllm.Test, :aborted} => {:raises, [:engine]},
    {Vllm.Test, :assert_aborted} => {:raises, [:engine, "r", {:options, [timeout: 1]}]},
    {Vllm.Test, :assert_chatted} => {:raises, [:engine, {:options, [timeout: 1]}]},
    {Vllm.Test, :assert_called} => {:raises, [:engine, :sleep, {:options, [timeout: 1]}]},
    {Vllm.Test, :assert_generated} => {:raises, [:engine, {:options, [timeout: 1]}]},
    {Vllm.Test, :assert_live} => {:raises, [:engine, 0, {:options, [timeout: 1]}]},
    {Vllm.Test, :await_engine!} => {:raises, [:worker, {:options, [timeout: 1]}]},
    {Vllm.Test, :calls} => {:raises, [:engine, :sleep]},
    {Vllm.Test, :chats} => {:raises, [:engine]},
    {Vllm.Test, :child_spec} => {:raises, [[]]},
    {Vllm.Test, :crash_worker} => {:raises, [:worker]},
    {Vllm.Test, :delay} => {:raises, [:engine, :sleep, 1, []]},
    {Vllm.Test, :delay_start} => {:raises, [:worker, {:pause, 0}]},
    {Vllm.Test, :die} => {:raises, [:engine]},
    {Vllm.Test, :die_after} => {:raises, [:engine, 1, []]},
    {Vllm.Test, :embed} => {:raises, [:engine, "x", [1.0], []]},
    {Vllm.Test, :engine!} => {:raises, [:worker, []]},
    {Vllm.Test, :engines} => {:raises, [:worker]},
    {Vllm.Test, :fail} => {:raises, [:engine, :sleep, :python, []]},
    {Vllm.Test, :fail_after} => {:raises, [:engine, 1, :python, []]},
    {Vllm.Test, :fail_start} => {:raises, [:worker, :python, [times: 1]]},
    {Vllm.Test, :hang} => {:raises, [:engine, :sleep, []]},
    {Vllm.Test, :hang_after} => {:raises, [:engine, 1, []]},
    {Vllm.Test, :live} => {:raises, [:engine]},
    {Vllm.Test, :mend} => {:raises, [:engine, :sleep]},
    {Vllm.Test, :print_megabytes} => {:raises, [:engine, {:pause, 0}]},
    {Vllm.Test, :refuse} => {:raises, [:engine, :invalid, []]},
    {Vllm.Test, :refuse_admission} => {:raises, [:engine, []]},
    {Vllm.Test, :release} => {:raises, [:engine]},
    {Vllm.Test, :reply} => {:raises, [:engine, "x", ["y"], []]},
    {Vllm.Test, :requests} => {:raises, [:engine]},
    {Vllm.Test, :reset} => {:raises, [:engine]},
    {Vllm.Test, :slow} => {:raises, [:engine, 1, []]},
    {Vllm.Test, :start_link} => {:raises, [[]]}
  }

  # Of these the test makes no calls.
  @others %{
    {Vllm.Test, :start_worker!} => "only the process of a test may call it; as start_link/1",
    {Vllm.SmallModel, :path} => "makes models; see its own test",
    {Vllm.SmallModel, :path!} => "makes models; see its own test",
    {Vllm.TinyModel, :make} => "makes models; see its own test",
    {Vllm.TinyModel, :adapter} => "makes models; see its own test",
    {Vllm.TinyModel, :adapters} => "makes models; see its own test",
    {Vllm.Doctor, :healthy?} => "a function of its argument alone",
    {Vllm.RequestOutput, :add} => "a function of its arguments alone; see its own test",
    {Vllm.CompletionOutput, :finished} => "a function of its argument alone",
    {Vllm.LLMEngine, :from_engine_args} => "always the same error",
    {Vllm.LLMEngine, :from_vllm_config} => "always the same error",
    {Vllm.Mellea.ChatContext, :add} => "a function of its arguments alone",
    {Vllm.Mellea.SimpleContext, :add} => "a function of its arguments alone",
    {Vllm.Mellea.ModelOption, :to_wire} => "a function of its argument alone; see its own test",
    {Vllm.Mellea.ModelOption, :replace_keys} =>
      "a function of its arguments alone; see its own test",
    {Vllm.Mellea.ModelOption, :remove_special_keys} =>
      "a function of its argument alone; see its own test",
    {Vllm.Mellea.ModelOption, :merge} => "a function of its arguments alone; see its own test",
    {Vllm.Serving, :new} => "a function of its arguments alone; run/2 checks them",
    {Vllm.Kino, :render} => "wants Kino; see its own test",
    {Vllm.LiveDashboard, :rows} => "called by LiveDashboard; see its own test",
    {Vllm.Telemetry.GenAI, :attributes} =>
      "a function of its arguments alone, which are an event's; see its own test",
    {Vllm.Telemetry.GenAI, :span_name} =>
      "a function of its argument alone, which is an event's; see its own test",
    {Vllm.Telemetry.GenAI, :recordings} =>
      "a function of its arguments alone, which are an event's; see its own test",
    {Vllm.Codec, :encode} => "a function of its arguments alone; see its own test",
    {Vllm.Codec, :decode} => "a function of its arguments alone; see its own test",
    {Vllm.Encoder, :encode} => "a protocol",
    {Vllm.Tensor, :cosine} => "a function of its arguments alone; see its own test",
    {Vllm.Tensor, :dot} => "a function of its arguments alone; see its own test",
    {Vllm.Tensor, :from_nx} => "a function of its argument alone; see its own test",
    {Vllm.Tensor, :to_nx} => "a function of its argument alone; see its own test",
    {Vllm.Tensor, :rows} => "a function of its argument alone; see its own test",
    {Vllm.Tensor, :byte_size} => "a function of its argument alone",
    {Vllm.Tensor, :from_list} => "a function of its arguments alone",
    {Vllm.Tensor, :size} => "a function of its argument alone",
    {Vllm.Tensor, :to_list} => "a function of its argument alone"
  }

  # Their functions are those of Vllm.Inference.
  @providers for name <- ~w(VLLM Ollama LlamaCpp Transformers AsyncLLM),
                 do: Module.concat(Vllm.Inference, name <> "Provider")

  @delegated [:generate, :load_adapter, :unload_adapter, :list_adapters]

  # The generated classes that have engines.
  @classes [AsyncLLM, LLM]

  # Those whose objects are values: an instance, which may be left out, then a map of fields.
  @parameters [Vllm.AsyncEngineArgs, Vllm.EngineArgs, Vllm.SamplingParams, Vllm.PoolingParams] ++
                [Vllm.StructuredOutputsParams, Vllm.RepetitionDetectionParams] ++
                [Vllm.BeamSearchParams, Vllm.LoRARequest]

  # Another name, each of whose functions is one of these.
  @aliases [Vllm.AsyncLLMEngine]

  # Tables for the library itself.
  @generated ["elixir/lib/vllm/generated/classes.ex", "elixir/lib/vllm/generated/proto.ex"]

  # The methods of a class begin with an instance, which may be left out.
  @class_methods [:from_engine_args, :from_vllm_config, :new]

  setup_all do
    {:ok, _folder} = TinyModel.make(:scripted, model())
    :ok
  end

  setup %{test: name, tmp_dir: dir} do
    # A first argument that is no instance is one for the default instance.
    default = Application.get_env(:vllm_bridge, :default, [])

    # The default instance has no LLaMA-Factory: one import, in the worker of the test, is enough.
    File.mkdir_p!(Path.join(dir, "llamafactory"))
    File.write!(Path.join(dir, "llamafactory/__init__.py"), "raise ImportError('left out')")
    env = [{"PYTHONPATH", dir}]
    options = [engine_class: engine_class(), log: false, env: env] ++ patience()
    Application.put_env(:vllm_bridge, :default, options)

    on_exit(fn ->
      Application.put_env(:vllm_bridge, :default, default)

      for {_, pid, _, _} <- DynamicSupervisor.which_children(Vllm.DefaultSupervisor),
          do: DynamicSupervisor.terminate_child(Vllm.DefaultSupervisor, pid)
    end)

    {:ok, _} = start(kit(name), log: false)

    {:ok, _} = start_supervised({Vllm.Pool, name: InstanceProcesses.pool(name)}, id: :pool)
    options = [log: :info, engines: [it: [model: "fake"]], metrics_interval: 3_600_000]
    {:ok, _} = start(name, options ++ [pool: InstanceProcesses.pool(name)])

    # Where valid options would start a worker, it ends at once.
    python = Path.join(dir, "python")
    File.write!(python, "#!/bin/sh\nexit 3\n")
    File.chmod!(python, 0o755)
    %{instance: name, python: python}
  end

  test "every public function is in a table" do
    listed = @classes ++ @parameters ++ @aliases

    for {module, name, arity} <- public(),
        module not in listed,
        not (module in @providers and name in @delegated),
        arity > 0 do
      case @functions do
        %{{^module, ^name} => {_returns, arguments}} ->
          assert length(arguments) >= arity, "#{inspect(module)}.#{name}/#{arity}"

        %{} ->
          assert Map.has_key?(@others, {module, name}),
                 "#{inspect(module)}.#{name}/#{arity} is in no table of this test"
      end
    end
  end

  test "no value of an argument ends the instance", %{instance: instance} do
    # Imports the library: a call may take less time here.
    {:ok, _names} = Vllm.LlamaFactory.templates(instance: instance)

    for {{module, name}, {returns, arguments}} <- @functions do
      unharmed(instance, fn -> vary(module, name, returns, arguments, instance) end)
    end
  end

  test "no value of an argument of a method ends the instance", %{instance: instance} do
    for module <- @classes ++ @parameters,
        {name, arity} <- module.__info__(:functions),
        name != :__struct__ do
      unharmed(instance, fn ->
        vary(module, name, :value, arguments(module, name, arity), instance, 25)
      end)
    end
  end

  test "no value of an option of a call ends the instance", %{instance: instance} do
    for key <- keys(Arguments.docs()) do
      unharmed(instance, fn ->
        engine = engine(instance)

        for value <- Absurd.values() do
          rpc = [rpc: [{key, value}]]
          id = request_id()

          for call <- [
                fn -> Vllm.call(engine, "echo", [1], rpc) end,
                fn -> AsyncLLM.generate(engine, "x", [max_tokens: 1], id, rpc) end,
                fn -> AsyncLLM.generate_collect(engine, "x", [max_tokens: 1], id, rpc) end,
                fn -> AsyncLLM.from_engine_args(instance, [model: "fake"], rpc) end
              ],
              do: assert_returns(:value, {key, value}, call)
        end
      end)
    end
  end

  test "no value of an option of an instance is taken for another", context do
    %{instance: instance, python: python} = context
    Process.flag(:trap_exit, true)
    good = [name: Absurd.Vllm, python: python, log: false]

    for start <- [&Vllm.start_link/1, &Vllm.Test.start_link/1],
        {key, option} <- instance_options(),
        value <- Absurd.values(),
        # The interpreter of this machine.
        key != :python or value not in [nil, ""] do
      options = Keyword.merge(good, option.(value))
      returns = if start == (&Vllm.start_link/1), do: :value, else: :raises
      # None of them starts: the interpreter ends at once.
      outcome = assert_returns(returns, {key, value}, fn -> start.(options) end)
      refute match?({:ok, _}, outcome), "started with #{inspect({key, value})}"
    end

    unharmed(instance, fn -> :ok end)
  end

  # Whose tokenizer LLaMA-Factory reads.
  defp model, do: Path.join([Environment.cache_dir(), "models", "scripted"])

  # A worker for the functions of the test kit that change every engine of theirs.
  defp kit(instance), do: Module.concat(instance, "Kit")

  ## Functions and options, by introspection

  defp public do
    {:ok, modules} = :application.get_key(:vllm_bridge, :modules)

    for module <- modules,
        source = module.module_info(:compile)[:source] |> to_string() |> Path.relative_to_cwd(),
        source =~ "elixir/lib/vllm" and source not in @generated,
        {:docs_v1, _, _, _, %{}, _, entries} <- [Code.fetch_docs(module)],
        {{:function, name, _}, _, _, doc, _} when doc != :hidden <- entries,
        {^name, arity} <- module.__info__(:functions),
        # Functions of protocols are called through these.
        not function_exported?(module, :__impl__, 1),
        uniq: true,
        do: {module, name, arity}
  end

  # Of the generated functions: the arguments that Python requires, then a list, then options.
  defp arguments(module, _name, arity) when module in @parameters,
    do: Enum.take([:instance | List.duplicate([], arity)], arity)

  defp arguments(LLM, :new, arity),
    do: Enum.take([:instance, "fake"] ++ List.duplicate([], arity), arity)

  defp arguments(_module, name, arity) when name in @class_methods,
    do: Enum.take([:instance, [model: "fake"]] ++ List.duplicate([], arity), arity)

  defp arguments(module, name, arity) do
    required = for {^name, arity} <- module.__info__(:functions), do: arity
    required = Enum.min(required)
    more = List.duplicate([], arity - required)
    [if(module == LLM, do: :llm, else: :engine) | List.duplicate("x", required - 1)] ++ more
  end

  defp instance_options do
    own =
      for key <- keys(Instance.options_docs()) ++ [:replies, :start_error, :start_delay],
          do: {key, &[{key, &1}]}

    watchdog = for key <- keys(Watchdog.options_docs()), do: {key, &[watchdog: [{key, &1}]]}
    tls = for key <- keys(TLS.options_docs()), do: {key, &(@no_worker ++ [tls: [{key, &1}]])}
    own ++ watchdog ++ tls
  end

  defp keys(docs) do
    keys = for [_, key] <- Regex.scan(~r/^  \* `:(\w+)`/m, docs), do: String.to_existing_atom(key)
    assert keys != []
    keys
  end

  ## Calls

  defp vary(module, name, returns, arguments, instance, count \\ 1_000) do
    good = Enum.map(arguments, &good(&1, instance))

    for {argument, at} <- Enum.with_index(arguments),
        value <- Enum.take_random(Absurd.values(), count),
        meant?(argument, value) do
      call = fn -> apply(module, name, List.replace_at(good, at, value)) end
      assert_returns(returns, {module, name, at, value}, call)
    end
  end

  # Not values that would be right, and take long.
  defp meant?({:options, _good}, value), do: value not in [[], %{}]
  defp meant?({:pause, _good}, value), do: not is_integer(value) or value < 0
  defp meant?(_argument, _value), do: true

  defp good({_kind, value}, _instance), do: value
  defp good(:instance, instance), do: instance
  defp good(:worker, instance), do: kit(instance)
  defp good(:engine, instance), do: engine(instance)
  defp good(:pool, instance), do: InstanceProcesses.pool(instance)
  defp good(:llm, instance), do: llm(instance)
  defp good(:pid, _instance), do: self()
  defp good(:on_instance, instance), do: [instance: instance]

  defp good(:provider, instance) do
    {:ok, provider} = Vllm.Inference.OllamaProvider.new(@dead, instance: instance)
    provider
  end

  defp good(:fields, _instance), do: [model_name_or_path: model()]

  defp good(:hosted, instance) do
    {:ok, model} = VllmEngine.new(good(:fields, instance), [], [], [], good(:on_engine, instance))
    model
  end

  defp good(:on_engine, instance), do: [engine: engine(instance), instance: instance]

  defp good(:backend, instance) do
    {:ok, backend} = LocalVLLMBackend.new("m", engine: engine(instance))
    backend
  end

  defp good(:session, instance) do
    {:ok, session} = Vllm.Mellea.start_session(good(:backend, instance), context: @chat)
    session
  end

  defp good(:thunk, instance) do
    {:ok, {thunk, _context}} =
      LocalVLLMBackend.generate_from_context(good(:backend, instance), "x", @chat)

    thunk
  end

  defp good(:own_thunk, instance) do
    {:ok, thunk} = Vllm.Mellea.ModelOutputThunk.new(good(:backend, instance))
    thunk
  end

  defp good(:formatter, instance) do
    {:ok, formatter} = Vllm.Mellea.TemplateFormatter.new("m", instance: instance)
    formatter
  end

  defp good(:serving, instance), do: Vllm.Serving.new(engine(instance), max_tokens: 1)

  defp good(:class_arguments, instance), do: [instance, [model: "fake"]]

  defp good(:collector, instance) do
    {:ok, collector} = AsyncLLM.add_request(engine(instance), request_id(), "x", max_tokens: 1)
    collector
  end

  defp good(:stream, instance) do
    {:ok, stream} = AsyncLLM.generate(engine(instance), "x", [max_tokens: 1], request_id())
    stream
  end

  defp good(value, _instance), do: value

  # In a process of its own, which takes along what the call has begun. It must end: the failure names
  # the call that has not.
  defp assert_returns(returns, what, call) do
    test = self()

    {pid, monitor} =
      spawn_monitor(fn ->
        # Instances that do not start end the process that they are linked to.
        Process.flag(:trap_exit, true)
        send(test, {self(), outcome(call)})
      end)

    assert_receive {:DOWN, ^monitor, :process, ^pid, _reason}, nil, "no end: #{inspect(what)}"
    assert_received {^pid, outcome}

    assert allowed?(returns, outcome),
           "#{inspect(what, limit: 20, printable_limit: 100)} gave #{inspect(outcome)}"

    outcome
  end

  defp outcome(call) do
    call.()
  catch
    kind, reason -> {:raised, kind, reason, __STACKTRACE__}
  end

  defp allowed?(_returns, {:ok, _value}), do: true
  defp allowed?(_returns, {:error, %Error{}}), do: true
  # Of a name that is taken.
  defp allowed?(_returns, {:error, {:already_started, _pid}}), do: true
  defp allowed?(:done, :ok), do: true

  defp allowed?(:raises, {:raised, :error, %module{}, _stacktrace}),
    do: module in [ArgumentError, Error, ExUnit.AssertionError]

  defp allowed?(:raises, {:raised, _kind, _reason, _stacktrace}), do: false
  defp allowed?(:raises, _value), do: true
  defp allowed?(_returns, _other), do: false

  defp llm(instance) do
    {:ok, llm} = LLM.new(instance, "fake")
    llm
  end

  defp unharmed(instance, fun) do
    {:ok, _engine} = Vllm.engine(instance, :it)
    before = InstanceProcesses.lasting(instance)
    fun.()
    assert InstanceProcesses.lasting(instance) == before
    assert {:ok, %Ref{} = engine} = Vllm.engine(instance, :it)
    assert Vllm.call(engine, "echo", [1]) == {:ok, 1}
  end
end
