defmodule Vllm.Bridge.LlamaFactoryTest do
  # LLaMA-Factory's engine on the fake engine: what Elixir sends and gets, who owns what, requests whose
  # callers leave, engines that die. What a model answers is in the lane `vllm`. Not async: it defines
  # the module :telemetry.
  use Vllm.BridgeCase

  import Vllm.StandIns

  alias Vllm.LlamaFactory
  alias Vllm.LlamaFactory.Chat.{ChatModel, VllmEngine}
  alias Vllm.LlamaFactory.{Response, Tools, VllmInfer}
  alias Vllm.TinyModel

  # The first one imports vLLM and LLaMA-Factory.
  @moduletag timeout: 600_000

  # One pixel.
  @png Base.decode64!(
         "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
       )

  setup_all do
    {:ok, path} = TinyModel.make(:scripted)
    %{path: path}
  end

  setup %{engine: engine, path: path} do
    {:ok, model} = VllmEngine.new([model_name_or_path: path], [], [], [], engine: engine)
    %{model: model}
  end

  defp unfinished(engine) do
    {:ok, count} = AsyncLLM.get_num_unfinished_requests(engine)
    count
  end

  # Of the fake engine: it makes them as fast as they are taken.
  @endless [max_new_tokens: 1_000_000]

  describe "an answer" do
    test "has its text and lengths", %{model: model} do
      assert {:ok, [%Response{} = response]} = VllmEngine.chat(model, "Hello", max_new_tokens: 3)
      assert response.response_text != ""
      assert {response.response_length, response.finish_reason} == {3, "length"}
      {:ok, ids} = VllmEngine.encode_prompt(model, "Hello")
      assert response.prompt_length == length(ids)
    end

    test "is one for each of the sequences", %{model: model} do
      opts = [num_return_sequences: 3, max_new_tokens: 2, temperature: 1]
      assert {:ok, responses} = VllmEngine.chat(model, [{:user, "Hello"}], opts)
      assert [_, _, _] = responses |> Enum.map(& &1.response_text) |> Enum.uniq()
    end

    test "comes in pieces that are the text", %{model: model} do
      {:ok, [%{response_text: text}]} = VllmEngine.chat(model, "Hello", max_new_tokens: 5)
      {:ok, stream} = VllmEngine.stream_chat(model, "Hello", max_new_tokens: 5)
      assert Enum.join(stream) == text
    end

    test "ends with its stream, its deadline and its caller", %{model: model, engine: engine} do
      {:ok, stream} = VllmEngine.stream_chat(model, "Hello", @endless)
      assert [_piece] = Enum.take(stream, 1)
      wait_until(fn -> unfinished(engine) == 0 end)

      assert {:error, %Error{kind: :timeout}} =
               VllmEngine.chat(model, "Hello", [timeout: 200] ++ @endless)

      wait_until(fn -> unfinished(engine) == 0 end)
      caller = spawn(fn -> VllmEngine.chat(model, "Hello", @endless) end)
      wait_until(fn -> unfinished(engine) == 1 end)
      Process.exit(caller, :kill)
      wait_until(fn -> unfinished(engine) == 0 end)
    end

    test "ends with the engine", %{model: model, engine: engine} do
      task = Task.async(fn -> VllmEngine.chat(model, "Hello", @endless) end)
      wait_until(fn -> unfinished(engine) == 1 end)
      Vllm.call(engine, "die")
      assert {:error, %Error{kind: :engine_dead}} = Task.await(task, :infinity)
      assert {:error, %Error{kind: :engine_dead}} = VllmEngine.chat(model, "Hello")
      assert {:ok, ["" <> _note | _]} = VllmEngine.engine_notes(model)
    end

    test "ends with the engine, as a stream and as a dataset too", context do
      %{model: model, engine: engine} = context
      {:ok, stream} = VllmEngine.stream_chat(model, "Hello", @endless)
      examples = for n <- 1..5, do: %{instruction: "Say #{n}"}

      tasks = [
        Task.async(fn -> Stream.collect(stream) end),
        Task.async(fn -> VllmInfer.run(model, examples, @endless) end)
      ]

      wait_until(fn -> unfinished(engine) == 6 end)
      Vllm.call(engine, "die")

      for result <- Task.await_many(tasks, :infinity),
          do: assert({:error, %Error{kind: :engine_dead}} = result)

      assert {:error, %Error{kind: :engine_dead}} = VllmEngine.stream_chat(model, "Hello")
      assert {:error, %Error{kind: :engine_dead}} = VllmInfer.run(model, examples)
    end

    test "ends with the worker", %{model: model, engine: engine, instance: instance} do
      {:ok, stream} = VllmEngine.stream_chat(model, "Hello", @endless)

      tasks = [
        Task.async(fn -> VllmEngine.chat(model, "Hello", @endless) end),
        Task.async(fn -> Stream.collect(stream) end),
        Task.async(fn -> VllmInfer.run(model, [%{instruction: "Hello"}], @endless) end)
      ]

      wait_until(fn -> unfinished(engine) == 3 end)
      {:ok, %{"pid" => worker}} = Vllm.status(instance)
      kill(worker)

      for result <- Task.await_many(tasks, :infinity),
          do: assert({:error, %Error{kind: :worker_down}} = result)

      wait_until(fn ->
        match?({:ok, %{"pid" => pid}} when pid != worker, Vllm.status(instance))
      end)

      assert {:error, %Error{kind: :stale_ref}} = VllmEngine.chat(model, "Hello")
    end

    test "of an engine that was shut down is an error", %{path: path, instance: instance} do
      engine = engine(instance)
      {:ok, model} = VllmEngine.new([model_name_or_path: path], [], [], [], engine: engine)
      {:ok, nil} = VllmEngine.shutdown(model)
      assert {:error, %Error{kind: :engine_dead}} = VllmEngine.chat(model, "Hello")
      assert {:error, %Error{kind: :engine_dead}} = VllmEngine.stream_chat(model, "Hello")
    end

    test "to wrong input is an error that names it", %{model: model} do
      for {messages, opts, kind, word} <- [
            {5, [], :invalid, "messages"},
            {[], [], :invalid, "messages"},
            {[%{role: "user"}], [], :invalid, "messages[0]"},
            {[%{role: :user, content: 5}], [], :invalid, "messages[0]"},
            {[{:system, "x"}], [], :unsupported, "system"},
            {"x", [tools: "no JSON"], :invalid, "tools"},
            {"x", [tools: [1]], :invalid, "tools"},
            {"x", [tools: %{}], :invalid, "tools"},
            {"x", [images: ["/nowhere.png"]], :not_found, "images[0]"},
            {"x", [images: [5]], :invalid, "images[0]"},
            {"x", [images: %{}], :invalid, "images"},
            {"x", [images: [bytes: @png]], :invalid, "does not support image input"},
            {"x", [temperature: "hot"], :invalid, "temperature"},
            {"x", [temperature: -1], :invalid, "temperature"},
            {"x", [max_tokens: 5], :invalid, "max_tokens"},
            {"x", [system: 5], :invalid, "system"}
          ] do
        for ask <- [&VllmEngine.chat/3, &VllmEngine.stream_chat/3] do
          assert {:error, %Error{kind: ^kind} = error} = ask.(model, messages, opts)
          assert error.message =~ word
        end
      end
    end
  end

  describe "an engine" do
    test "that is built for it is an ordinary one", %{path: path, instance: instance} do
      args = [model_name_or_path: path, vllm_maxlen: 64, vllm_config: %{max_num_seqs: 3}]
      {:ok, model} = VllmEngine.new(args, [], [], [], instance: instance)

      assert {:ok, %{"max_model_len" => 64, "max_num_seqs" => 3, "enable_lora" => false}} =
               VllmEngine.engine_args(model)

      assert {:ok, %Ref{type: "AsyncLLM"} = engine} = VllmEngine.engine(model)
      assert {:ok, [_response]} = VllmEngine.chat(model, "Hello", max_new_tokens: 1)

      # It outlives the object.
      :ok = Vllm.release(model)
      wait_until(fn -> match?({:error, %{kind: :stale_ref}}, VllmEngine.engine(model)) end)
      assert {:ok, nil} = AsyncLLM.check_health(engine)
      {:ok, nil} = AsyncLLM.shutdown(engine)
    end

    test "is not built from arguments that are refused", %{path: path, instance: instance} do
      {:ok, before} = Vllm.status(instance)

      for {model_args, more, kind} <- [
            {[model_name_or_path: path], [finetuning_args: [stage: "dpo"]], :invalid},
            {[model_name_or_path: path, quantization_bit: 4], [], :invalid},
            {[model_name_or_path: path, infer_backend: "sglang"], [], :unsupported},
            {[model_name_or_path: path, bogus: 1], [], :invalid},
            {[model_name_or_path: "/nowhere"], [], :not_found},
            {[model_name_or_path: path], [data_args: [template: "nope"]], :invalid},
            {5, [], :invalid}
          ] do
        data = Keyword.get(more, :data_args, [])
        tuning = Keyword.get(more, :finetuning_args, [])
        result = VllmEngine.new(model_args, data, tuning, [], instance: instance)
        assert {:error, %Error{kind: ^kind}} = result
      end

      {:ok, later} = Vllm.status(instance)
      assert length(later["engines"]) == length(before["engines"])
    end

    test "that is none is refused", %{path: path, instance: instance, model: model} do
      for {engine, kind, text} <- [
            {model, :invalid, "wants the reference of an AsyncLLM, got VllmEngine"},
            {5, :invalid, "wants the Vllm.Ref of an AsyncLLM"},
            {"engine", :invalid, "wants the Vllm.Ref of an AsyncLLM"},
            {true, :invalid, "wants the Vllm.Ref of an AsyncLLM"},
            {:not_declared, :not_found, ":not_declared"}
          ] do
        opts = [engine: engine, instance: instance, timeout: 60_000]
        result = ChatModel.new([model_name_or_path: path], opts)
        assert {:error, %Error{kind: ^kind, message: message}} = result
        assert message =~ text
      end
    end

    test "may have the adapter of an object, which goes with it", %{
      path: path,
      instance: instance
    } do
      {:ok, engine} = AsyncLLM.from_engine_args(instance, model: "fake", enable_lora: true)
      args = [model_name_or_path: path, adapter_name_or_path: "/adapter"]
      {:ok, one} = ChatModel.new(args, engine: engine)
      {:ok, other} = ChatModel.new(args, engine: engine)
      {:ok, loras} = AsyncLLM.list_loras(engine)
      assert Enum.count(loras) == 2
      :ok = Vllm.release(one)
      wait_until(fn -> match?({:ok, %{size: 1}}, size(AsyncLLM.list_loras(engine))) end)
      assert {:ok, [_response]} = ChatModel.chat(other, "Hello", max_new_tokens: 1)
      {:ok, nil} = AsyncLLM.shutdown(engine)
    end

    defp size({:ok, loras}), do: {:ok, %{size: Enum.count(loras)}}
  end

  test "a chat model is made from one map, and has two names for everything", context do
    %{path: path, engine: engine} = context
    {:ok, model} = ChatModel.new(%{model_name_or_path: path, template: "default"}, engine: engine)
    opts = [max_new_tokens: 2]
    assert ChatModel.chat(model, "Hello", opts) == ChatModel.achat(model, "Hello", opts)
    {:ok, stream} = ChatModel.stream_chat(model, "Hello", opts)
    {:ok, other} = ChatModel.astream_chat(model, "Hello", opts)
    assert Enum.join(stream) == Enum.join(other)

    for scores <- [&ChatModel.get_scores/2, &ChatModel.aget_scores/2, &VllmEngine.get_scores/2] do
      assert {:error, %Error{kind: :unsupported, message: message}} = scores.(model, ["x"])
      assert message =~ "does not support `get_scores`"
    end
  end

  test "it says what a request would be", %{model: model, path: path, engine: engine} do
    assert {:ok, true} = VllmEngine.can_generate?(model)
    assert {:ok, [2]} = VllmEngine.stop_token_ids(model)
    assert {:ok, %{"mm_plugin" => "BasePlugin"}} = VllmEngine.template(model)
    assert {:ok, nil} = VllmEngine.last_request_id(model)
    assert {:ok, %{"max_tokens" => 20}} = VllmEngine.sampling_params(model, 10, max_length: 30)
    assert {:ok, %{"top_p" => 1.0}} = VllmEngine.sampling_params(model, 10, top_p: 0)
    args = [model_name_or_path: path]
    {:ok, other} = VllmEngine.new(args, [template: "default"], [], [], engine: engine)
    tool = %Vllm.Tool{name: "get_weather", parameters: %{type: "object", properties: %{}}}
    {:ok, plain} = VllmEngine.encode_prompt(other, "Hello")
    {:ok, ids} = VllmEngine.encode_prompt(other, "Hello", tools: [tool], system: "Be brief.")
    assert length(ids) > length(plain) + 20
  end

  test "media are sent in every form", %{model: model} do
    path = Path.join(System.tmp_dir!(), "pixel-#{System.unique_integer([:positive])}.png")
    File.write!(path, @png)
    on_exit(fn -> File.rm(path) end)
    images = [path, {:path, path}, %{path: path}, {:bytes, @png}, %{bytes: @png}]
    assert {:ok, [image | _] = found} = VllmEngine.regularize_images(model, images)
    assert %{"width" => 32, "height" => 32, "mode" => "RGB"} = image
    assert length(Enum.uniq(found)) == 1 and length(found) == 5
    assert {:ok, [[_, _]]} = VllmEngine.regularize_videos(model, [[path, {:bytes, @png}]])

    assert {:ok, [%Vllm.Tensor{shape: [3]}, %Vllm.Tensor{shape: [2]}]} =
             VllmEngine.regularize_audios(model, [
               [0.0, 0.5, 1],
               Vllm.Tensor.from_list([0.0, 0.5], "float32")
             ])
  end

  test "tool calls are found by format or template", %{instance: instance, model: model} do
    on = [instance: instance]
    text = ~s(Action: get_weather\nAction Input: {"city": "Paris"})
    calls = [%{name: "get_weather", arguments: ~s({"city": "Paris"})}]
    assert Tools.extract("default", text, on) == {:ok, calls}
    assert VllmEngine.extract_tool(model, text) == {:ok, calls}
    assert Tools.extract("llama3", "no call", on) == {:ok, "no call"}
    assert {:error, %Error{kind: :invalid} = error} = Tools.extract("nope", text, on)
    {:ok, formats} = Tools.formats(on)
    for format <- formats, do: assert(error.message =~ format)
    {:ok, templates} = LlamaFactory.templates(on)
    assert "llama3" in templates and length(templates) > 100
  end

  describe "a dataset" do
    setup do: telemetry()

    test "is answered in its order, and tells how far it has come", %{model: model} do
      examples = for n <- 1..10, do: %{instruction: "Say #{n}", input: "", output: "#{n}"}
      assert {:ok, lines} = VllmInfer.run(model, examples, max_new_tokens: 2, batch_size: 3)
      assert Enum.map(lines, & &1.label) == Enum.map(1..10, &"#{&1}")
      for {line, n} <- Enum.with_index(lines, 1), do: assert(line.prompt =~ "Say #{n}")
      assert {_, %{done: 10, total: 10}, metadata, caller} = List.last(progress())
      assert %{class: "VllmEngine", description: "Answered examples"} = metadata
      assert caller == self()
    end

    test "may be a file of a chat's turns", %{model: model} do
      path = Path.join(System.tmp_dir!(), "data-#{System.unique_integer([:positive])}.jsonl")

      line =
        ~s({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]}\n)

      File.write!(path, line <> line)
      on_exit(fn -> File.rm(path) end)
      opts = [formatting: "sharegpt", max_new_tokens: 1, max_samples: 1]
      assert {:ok, [%{label: "Ho"}]} = VllmInfer.run(model, path, opts)
    end

    test "with a wrong example says which it is", %{model: model} do
      examples = [%{instruction: "Hello"}, %{instruction: 5}]
      assert {:error, %Error{kind: :invalid} = error} = VllmInfer.run(model, examples)
      assert error.message =~ "dataset[1]"

      for {wrong, kind} <- [{[], :invalid}, {"/nowhere.json", :not_found}, {5, :invalid}] do
        assert {:error, %Error{kind: ^kind, message: message}} = VllmInfer.run(model, wrong)
        assert message =~ "dataset"
      end
    end

    defp progress, do: events([:vllm, :llm, :progress])
  end

  test "without the library every call says how to install it", %{path: path} do
    folder = Path.join(System.tmp_dir!(), "no-factory-#{System.unique_integer([:positive])}")
    File.mkdir_p!(Path.join(folder, "llamafactory"))
    on_exit(fn -> File.rm_rf!(folder) end)

    folder
    |> Path.join("llamafactory/__init__.py")
    |> File.write!("raise ImportError('not installed')")

    name = Vllm.Bridge.LlamaFactoryTest.Without
    {:ok, _} = start(name, env: [{"PYTHONPATH", folder}])

    for result <- [
          ChatModel.new([model_name_or_path: path], instance: name),
          LlamaFactory.templates(instance: name)
        ] do
      assert {:error, %Error{kind: :missing_dependency, message: message}} = result
      assert message =~ "mix vllm.setup --with llama-factory"
    end

    assert {:ok, [_]} = Vllm.call(engine(name), "echo", [[1]])
  end
end
