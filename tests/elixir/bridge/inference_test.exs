defmodule Vllm.Bridge.InferenceTest do
  # Providers of a real worker: the factory and who holds what it makes, servers that fail, deadlines,
  # and an engine that dies. Real models are in the lane `vllm`.
  use Vllm.BridgeCase, instance: [env: [{"OLLAMA_BASE_URL", "http://127.0.0.1:2/v1"}]]

  alias Vllm.{HttpRecorder, Inference, ProcessTree}

  alias Vllm.Inference.{
    AsyncLLMProvider,
    GenerationResult,
    LlamaCppProvider,
    OllamaProvider,
    TransformersProvider,
    VLLMProvider
  }

  setup %{instance: instance} do
    on_exit(fn -> Inference.clear_cache(instance: instance) end)
    %{on: [instance: instance]}
  end

  # Nobody listens on it.
  @dead "http://127.0.0.1:1/v1"

  describe "the factory" do
    # Upstream: test_factory.py::test_get_provider_vllm_returns_vllm_provider and those after it
    # (U-91 to U-95)
    test "gives each type its provider, and everybody the same", %{on: on, engine: engine} do
      types = [
        {"vllm", nil, "VLLMProvider"},
        {"OLLAMA", nil, "OllamaProvider"},
        {:llamacpp, "/a.gguf", "LlamaCppProvider"},
        {"transformers", "a/name", "TransformersProvider"},
        {"async_llm", engine, "AsyncLLMProvider"},
        {nil, nil, "VLLMProvider"}
      ]

      for {type, place, class} <- types do
        assert {:ok, %Ref{type: ^class} = provider} = Inference.get_provider(type, place, on)
        assert {:ok, ^provider} = Inference.get_provider(type, place, on)
      end

      assert {:error, %Error{kind: :invalid} = error} = Inference.get_provider("openai", nil, on)
      assert error.message =~ "vllm, ollama, llamacpp, transformers, async_llm"
    end

    test "gives concurrent first callers one provider", %{on: on} do
      refs =
        1..20
        |> Enum.map(fn _ -> Task.async(fn -> Inference.get_provider("ollama", @dead, on) end) end)
        |> Task.await_many(60_000)

      assert [{:ok, %Ref{}}] = Enum.uniq(refs)
    end

    test "reads the environment of the worker, and before it the caller's", %{on: on} do
      {:ok, workers} = Inference.get_provider("ollama", nil, on)
      assert {:ok, ^workers} = Inference.get_provider("ollama", "http://127.0.0.1:2/v1", on)
      {:ok, callers} = Inference.get_provider("ollama", @dead, on)
      env = [INFERENCE_PROVIDER: "Ollama", OLLAMA_BASE_URL: @dead]
      assert {:ok, ^callers} = Inference.get_provider(nil, nil, [env: env] ++ on)
    end

    # Upstream: test_factory.py::test_get_provider_for_step_returns_ollama_provider (U-97),
    # test_get_provider_for_step_custom_base_url (U-98)
    test "takes a step of a pipeline", %{on: on, engine: engine} do
      {:ok, provider} = Inference.get_provider("ollama", @dead, on)

      for step <- [
            %{provider: "ollama", base_url: @dead, model: "m"},
            %{"provider" => :ollama, "base_url" => @dead}
          ],
          do: assert({:ok, ^provider} = Inference.get_provider_for_step(step, on))

      assert {:ok, %Ref{type: "VLLMProvider"}} = Inference.get_provider_for_step(%{}, on)
      step = %{provider: "async_llm", base_url: engine}
      assert {:ok, %Ref{type: "AsyncLLMProvider"}} = Inference.get_provider_for_step(step)
      wrong = %{provider: 5}

      assert {:error, %Error{kind: :invalid, message: "step['provider']" <> _}} =
               Inference.get_provider_for_step(wrong, on)
    end

    test "takes no provider from another process", %{on: on} do
      test = self()

      holder =
        spawn_link(fn ->
          send(test, Inference.get_provider("ollama", @dead, on))
          receive do: (:end -> :ok)
        end)

      assert_receive {:ok, theirs}, 60_000
      {:ok, mine} = Inference.get_provider("ollama", @dead, on)
      assert mine == theirs
      monitor = Process.monitor(holder)
      send(holder, :end)
      assert_receive {:DOWN, ^monitor, :process, _pid, _reason}
      assert {:ok, []} = Inference.list_adapters(mine)
      assert {:ok, nil} = Inference.clear_cache(on)
      assert {:ok, []} = Inference.list_adapters(mine)
      {:ok, other} = Inference.get_provider("ollama", @dead, on)
      assert other != mine
      :ok = Vllm.release(mine)
      wait_until(fn -> match?({:error, %{kind: :stale_ref}}, Inference.list_adapters(mine)) end)
      assert {:ok, []} = Inference.list_adapters(other)
    end

    test "keeps adapters while nobody holds the provider", %{on: on} do
      {:ok, provider} = Inference.get_provider("llamacpp", "/a.gguf", on)
      {:ok, nil} = Inference.load_adapter(provider, "b", "/b.gguf")
      {:ok, nil} = Inference.load_adapter(provider, "a", "/a.gguf")
      :ok = Vllm.release(provider)
      wait_until(fn -> match?({:error, _stale}, Inference.list_adapters(provider)) end)
      {:ok, again} = Inference.get_provider("llamacpp", "/a.gguf", on)
      assert {:ok, ["a", "b"]} = Inference.list_adapters(again)
      assert {:ok, nil} = Inference.unload_adapter(again, "a")
      assert {:ok, ["b"]} = Inference.list_adapters(again)
    end
  end

  test "the guide's example of the factory runs, on the default instance" do
    before = Application.get_env(:vllm_bridge, :default, [])
    Application.put_env(:vllm_bridge, :default, [engine_class: engine_class()] ++ patience())

    on_exit(fn ->
      Application.put_env(:vllm_bridge, :default, before)

      for {_, pid, _, _} <- DynamicSupervisor.which_children(Vllm.DefaultSupervisor),
          do: DynamicSupervisor.terminate_child(Vllm.DefaultSupervisor, pid)
    end)

    guide = File.read!("elixir/guides/providers.md")
    blocks = for [_, block] <- Regex.scan(~r/^```elixir\n(.*?)^```/ms, guide), do: block
    [example] = Enum.filter(blocks, &(&1 =~ "clear_cache"))
    Code.eval_string(example, [], __ENV__)
  end

  describe "a server" do
    test "gets the overrides and gives a text", %{on: on} do
      {url, _server} = HttpRecorder.start({200, HttpRecorder.completion("a text")})
      {:ok, provider} = VLLMProvider.new(url, on)

      assert {:ok,
              %GenerationResult{
                text: "a text",
                model: "served",
                adapter_id: "a",
                token_count: 7,
                finish_reason: "stop"
              }} =
               VLLMProvider.generate(provider, "Hello", "m",
                 adapter_id: "a",
                 temperature: 0,
                 top_p: 0.5,
                 repetition_penalty: 1.5
               )

      assert_received {:request, "/v1/chat/completions", body}
      for part <- ~w("model":"a" "top_p":0.5 "repetition_penalty":1.5), do: assert(body =~ part)
    end

    test "that refuses is an error with the status", %{on: on} do
      for {status, retryable} <- [{400, false}, {404, false}, {429, true}, {503, true}] do
        {url, _server} = HttpRecorder.start({status, ~s({"error": {"message": "not today"}})})
        {:ok, provider} = VLLMProvider.new(url, on)

        for result <- [
              VLLMProvider.generate(provider, "Hello", "m"),
              VLLMProvider.load_adapter(provider, "a", "/a"),
              VLLMProvider.unload_adapter(provider, "a")
            ] do
          assert {:error, %Error{kind: :http_status, retryable: ^retryable} = error} = result
          assert error.details["status"] == status
          assert error.message =~ "not today"
        end

        assert {:ok, []} = VLLMProvider.list_adapters(provider)
      end
    end

    test "that is not there is unreachable", %{on: on} do
      for module <- [VLLMProvider, OllamaProvider] do
        {:ok, provider} = module.new(@dead, on)

        assert {:error, %Error{kind: :unreachable, retryable: true}} =
                 module.generate(provider, "Hello", "m")
      end
    end

    test "that ends in the middle is unreachable", %{on: on} do
      {url, server} = HttpRecorder.start(:never)
      {:ok, provider} = VLLMProvider.new(url, on)
      text = Task.async(fn -> VLLMProvider.generate(provider, "Hello", "m") end)
      assert_receive {:request, _path, _body}, 60_000
      Process.unlink(server)
      Process.exit(server, :kill)
      assert {:error, %Error{kind: :unreachable}} = Task.await(text, 60_000)
    end

    # Upstream: the timeouts of adapters (P-15)
    test "that is slow is given up at the deadline, and hears of it", %{on: on} do
      {url, _server} = HttpRecorder.start(:never)
      {:ok, provider} = VLLMProvider.new(url, on)

      for call <- [
            &VLLMProvider.generate(provider, "Hello", "m", &1),
            &VLLMProvider.load_adapter(provider, "a", "/a", &1),
            &VLLMProvider.unload_adapter(provider, "a", &1)
          ],
          do: assert_given_up(call, 500)
    end

    # On a busy machine the deadline may have passed before the request has left.
    defp assert_given_up(call, timeout) do
      assert {:error, %Error{kind: :timeout}} = call.(timeout: timeout)

      receive do
        {:request, path, _body} -> assert_receive {:closed, ^path}, 60_000
      after
        0 -> assert_given_up(call, 2 * timeout)
      end
    end

    test "loses a request whose caller ends", %{on: on} do
      {url, _server} = HttpRecorder.start(:never)
      {:ok, provider} = VLLMProvider.new(url, on)
      caller = spawn(fn -> VLLMProvider.generate(provider, "Hello", "m") end)
      assert_receive {:request, _path, _body}, 60_000
      Process.exit(caller, :kill)
      assert_receive {:closed, _path}, 60_000
      assert {:ok, []} = VLLMProvider.list_adapters(provider)
    end

    # Upstream: test_ollama_provider.py::test_load_adapter_raises… and those after it (U-110 to U-112)
    test "of Ollama's has no adapters", %{on: on} do
      {:ok, provider} = OllamaProvider.new(nil, on)

      for result <- [
            OllamaProvider.load_adapter(provider, "a", "/a"),
            OllamaProvider.unload_adapter(provider, "a")
          ] do
        assert {:error, %Error{kind: :unsupported, type: type}} = result
        assert String.ends_with?(type, ".UnsupportedOperationError")
      end

      assert {:ok, []} = OllamaProvider.list_adapters(provider)
    end
  end

  describe "an engine" do
    test "of somebody else's class cannot chat", %{engine: engine} do
      {:ok, provider} = AsyncLLMProvider.new(engine)

      for result <- [
            AsyncLLMProvider.generate(provider, "x", ""),
            AsyncLLMProvider.load_adapter(provider, "a", "/a")
          ] do
        assert {:error, %Error{kind: :unsupported, message: message}} = result
        assert message == "chat needs an engine of vLLM's own"
      end
    end

    test "that is none is refused", %{on: on} do
      {:ok, ollama} = OllamaProvider.new(nil, on)

      for {engine, kind, text} <- [
            {ollama, :invalid, "wants the reference of an AsyncLLM, got OllamaProvider"},
            {nil, :invalid, "wants the Vllm.Ref of an AsyncLLM"},
            {"engine", :invalid, "wants the Vllm.Ref of an AsyncLLM"},
            {5, :invalid, "wants the Vllm.Ref of an AsyncLLM"},
            {:not_declared, :not_found, ":not_declared"}
          ] do
        assert {:error, %Error{kind: ^kind} = error} = AsyncLLMProvider.new(engine, on)
        assert error.message =~ text
      end

      for {type, engine, text} <- [
            {"vllm", ollama, "only the provider async_llm wants the reference of an engine"},
            {"async_llm", nil, "engine"}
          ] do
        result = Inference.get_provider(type, engine, on)
        assert {:error, %Error{kind: :invalid, details: %{"parameter" => "engine"}}} = result
        assert elem(result, 1).message =~ text
      end
    end
  end

  describe "a worker that is killed" do
    test "ends the calls of providers, at the servers too", %{test: name} do
      {:ok, _} = start(name)
      {url, _server} = HttpRecorder.start(:never)
      {:ok, provider} = VLLMProvider.new(url, instance: name)

      calls = [
        fn -> VLLMProvider.generate(provider, "Hello", "m") end,
        fn -> VLLMProvider.load_adapter(provider, "a", "/a") end
      ]

      tasks = Enum.map(calls, &Task.async/1)
      for _call <- calls, do: assert_receive({:request, _path, _body}, 60_000)
      {:ok, %{"pid" => worker}} = Vllm.status(name)
      kill(worker)

      for result <- Task.await_many(tasks, :infinity),
          do: assert({:error, %Error{kind: :worker_down}} = result)

      for _call <- calls, do: assert_receive({:closed, _path}, 60_000)
      wait_until(fn -> match?({:ok, _status}, Vllm.status(name)) end)
      assert {:error, %Error{kind: :stale_ref}} = VLLMProvider.list_adapters(provider)
    end

    # The library is a stand-in with the interface of llama-cpp-python, the process is not.
    @tag :tmp_dir
    test "takes llama.cpp's process along", %{test: name, tmp_dir: dir} do
      File.write!(Path.join(dir, "xllamacpp.py"), "raise ImportError('not installed')")

      dir
      |> Path.join("llama_cpp.py")
      |> File.write!("from tests.python.support.llama_cpp_stand_in import *")

      model = Path.join(dir, "model.gguf")
      File.write!(model, "a model")
      {:ok, _} = start(name, env: [{"PYTHONPATH", "#{dir}:#{File.cwd!()}"}])
      {:ok, provider} = LlamaCppProvider.new(model_path: model, instance: name)
      text = Task.async(fn -> LlamaCppProvider.generate(provider, "endless", "m") end)
      wait_until(fn -> File.exists?(model <> ".started") end)
      tree = ProcessTree.of(name)
      [_llama_cpp] = tree.pids -- [tree.worker]
      kill(tree.worker)
      assert {:error, %Error{kind: :worker_down}} = Task.await(text, :infinity)
      ProcessTree.await_gone(tree)
    end
  end

  test "a model that is not there is an error of the text, not of the provider", %{on: on} do
    {:ok, llama_cpp} = LlamaCppProvider.new([model_path: "/no/such.gguf"] ++ on)
    {:ok, transformers} = TransformersProvider.new([model_name: ""] ++ on)

    assert {:error, %Error{kind: :not_found}} = LlamaCppProvider.generate(llama_cpp, "x", "m")

    assert {:error, %Error{kind: :invalid, message: message}} =
             TransformersProvider.generate(transformers, "x", "m")

    assert message =~ "TRANSFORMERS_MODEL_NAME"
  end

  test "wrong arguments of constructors are refused", %{on: on} do
    for {module, opts} <- [
          {LlamaCppProvider, [n_ctx: -1]},
          {LlamaCppProvider, [n_ctx: 2 ** 40]},
          {LlamaCppProvider, [model: "x"]},
          {LlamaCppProvider, %{}},
          {TransformersProvider, [torch_dtype: "int4"]},
          {TransformersProvider, [device: 0]}
        ] do
      opts = if is_list(opts), do: opts ++ on, else: opts
      assert {:error, %Error{kind: :invalid}} = module.new(opts)
    end

    for url <- ["localhost:8100", "ftp://x", 5, ""],
        url != "",
        do: assert({:error, %Error{kind: :invalid}} = VLLMProvider.new(url, on))
  end

  test "a provider whose library is missing says how to install it", %{on: on} do
    path = System.tmp_dir!() |> Path.join("no-llama-#{System.unique_integer([:positive])}")
    File.mkdir_p!(path)
    on_exit(fn -> File.rm_rf!(path) end)
    File.write!(Path.join(path, "xllamacpp.py"), "raise ImportError('not installed')")
    File.write!(Path.join(path, "model.gguf"), "")
    {:ok, _} = start(Vllm.Bridge.InferenceTest.Without, env: [{"PYTHONPATH", path}])
    on = Keyword.put(on, :instance, Vllm.Bridge.InferenceTest.Without)

    {:ok, provider} = Inference.get_provider("llamacpp", Path.join(path, "model.gguf"), on)
    assert {:error, %Error{} = error} = Inference.generate(provider, "x", "m")
    assert error.kind == :missing_dependency
    assert error.message =~ "mix vllm.setup --with providers"
  end

  test "the dtype is chosen by the worker's rule", %{on: on} do
    assert {:ok, "float32"} = TransformersProvider.resolve_dtype(10 ** 9, 10 ** 10, on)
    assert {:ok, "bfloat16"} = TransformersProvider.resolve_dtype(10 ** 9, 0, on)
    assert {:error, %Error{kind: :invalid}} = TransformersProvider.resolve_dtype(-1, 0, on)
  end
end
