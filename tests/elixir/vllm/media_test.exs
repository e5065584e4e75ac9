defmodule Vllm.RealEngine.MediaTest do
  # Images on a tiny LLaVA. What vLLM makes of the same images in process is compared in
  # `tests/python/vllm/test_media.py`.
  use Vllm.VllmEngine, engine: :sees

  alias Vllm.{Bytes, Mellea, Tensor}
  alias Vllm.LlamaFactory.Chat.ChatModel
  alias Vllm.Mellea.Backends.LocalVLLMBackend
  alias Vllm.Mellea.{ChatContext, Message, ModelOutputThunk}

  @greedy [temperature: 0.0, max_tokens: 8]
  @side 28

  # The colours of an image that is no other's.
  defp pixels(number) do
    for y <- 1..@side, x <- 1..@side, into: <<>> do
      <<rem(9 * x * number, 256), rem(9 * y, 256), rem(x * y * number, 256)>>
    end
  end

  defp file(number), do: "P6\n#{@side} #{@side}\n255\n" <> pixels(number)

  defp tensor(number),
    do: %Tensor{dtype: "uint8", shape: [@side, @side, 3], data: pixels(number)}

  defp said(engine, parts) do
    messages = [user: parts ++ [%{type: "text", text: "what"}]]

    with {:ok, answer} <- Vllm.chat(engine, messages, @greedy),
         do: hd(answer.choices).message.content
  end

  defp in_a_file(content) do
    path = Path.join(System.tmp_dir!(), "vllm-media-#{System.unique_integer([:positive])}.ppm")
    File.write!(path, content)
    on_exit(fn -> File.rm!(path) end)
    path
  end

  test "an image is the same as a binary, a file, a URL and a tensor", %{engine: engine} do
    path = in_a_file(file(1))
    url = "data:image/x-portable-pixmap;base64," <> Base.encode64(file(1))
    wanted = said(engine, [%{type: "image", data: file(1)}])
    assert is_binary(wanted)
    refute said(engine, [%{type: "image", data: file(2)}]) == wanted

    for part <- [
          %{type: "image", path: path},
          %{"type" => "image", "path" => Path.basename(path)},
          [type: :image, data: %Bytes{data: file(1)}],
          %{type: "image", url: url},
          %{type: "image_url", image_url: %{url: url}},
          %{type: "image", tensor: tensor(1)}
        ] do
      assert said(engine, [part]) == wanted, inspect(part, limit: 5)
    end

    {:ok, stream} = Vllm.stream_chat(engine, [user: [%{type: "image", path: path}]], @greedy)
    assert Enum.any?(stream, & &1.content)
  end

  test "a prompt has its images beside it", %{engine: engine} do
    for {images, number} <- [{[%Bytes{data: file(1)}, tensor(2)], 1}, {[tensor(2), tensor(1)], 2}] do
      prompt = %{prompt: "<image>or<image>", multi_modal_data: %{image: images}}
      {:ok, stream} = AsyncLLM.generate(engine, prompt, @greedy, "media-#{number}")
      {:ok, output} = Stream.collect(stream)
      assert length(hd(output.outputs).token_ids) == 8
    end
  end

  test "LLaMA-Factory has the model see what it is given", %{engine: engine} do
    path = in_a_file(file(1))
    args = [model_name_or_path: model(:llava), template: "llava", default_system: ""]
    # Smaller images are made larger.
    args = [image_min_pixels: @side * @side] ++ args
    {:ok, model} = ChatModel.new(args, engine: engine)
    options = [temperature: 0.0, max_new_tokens: 8]

    for {content, images, number} <- [
          {"what", [{:bytes, file(1)}], 1},
          {"what", [path], 1},
          {"<image>what", [%{bytes: file(2)}], 2}
        ] do
      prompt = %{
        prompt: "USER: <image>what ASSISTANT:",
        multi_modal_data: %{image: tensor(number)}
      }

      {:ok, stream} = AsyncLLM.generate(engine, prompt, @greedy, "factory-#{content}-#{number}")
      {:ok, %{outputs: [%{text: text}]}} = Stream.collect(stream)

      assert {:ok, [%{response_text: ^text}]} =
               ChatModel.chat(model, content, [images: images] ++ options)
    end

    assert {:error, %Error{kind: :invalid, message: message}} =
             ChatModel.chat(model, "what", images: List.duplicate(path, 3))

    assert message =~ "At most 2 image"
  end

  test "what is no image is refused with its place", %{engine: engine} do
    for {part, kind, message} <- [
          {%{type: "image", data: "abc"}, :invalid, "messages[0].content[0]: cannot be read"},
          {%{type: "image", path: "/etc/passwd"}, :invalid, "allowed_local_media_path"},
          {%{type: "image", url: "http://a/b.png"}, :unsupported, "allowed_media_domains"},
          {%{type: "image", tensor: %{tensor(1) | shape: [@side, @side * 3]}}, :invalid, "shape"},
          {%{type: "video", data: "abc"}, :unsupported, "takes image only"}
        ] do
      assert {:error, %Error{kind: ^kind} = error} = said(engine, [part])
      assert error.message =~ message
    end

    three = List.duplicate(%{type: "image", tensor: tensor(1)}, 3)
    assert {:error, %Error{kind: :invalid, message: message}} = said(engine, three)
    assert message =~ "limit_mm_per_prompt"
    assert is_binary(said(engine, [%{type: "image", tensor: tensor(1)}]))
  end

  # M-21 of the requirements of Mellea. A text-only engine is in tests/elixir/bridge/mellea_values_test.exs.
  describe "Mellea" do
    setup %{engine: engine} do
      options = %{temperature: 0.0, max_new_tokens: 8}
      {:ok, backend} = LocalVLLMBackend.new("llava", engine: engine, model_options: options)
      {:ok, session} = Mellea.start_session(backend, context: %ChatContext{})
      %{backend: backend, session: session}
    end

    test "shows the images of a message to the model, as a chat does", context do
      wanted = said(context.engine, [%{type: "image", data: file(1)}])
      message = &%Message{content: "what", images: [&1]}

      for image <- [file(1), %Bytes{data: file(1)}, tensor(1), %{path: in_a_file(file(1))}] do
        assert {:ok, {thunk, after_it}} =
                 LocalVLLMBackend.generate_from_context(
                   context.backend,
                   message.(image),
                   %ChatContext{}
                 )

        assert ModelOutputThunk.avalue(thunk) == {:ok, wanted}
        assert {:ok, log} = ModelOutputThunk.generate_log(thunk)
        assert log.prompt == [%{"role" => "user", "content" => "what"}]
        # It stays in view in the turns that follow.
        assert {:ok, prompt} =
                 LocalVLLMBackend.render_prompt(context.backend, "and now", after_it)

        assert prompt =~ "<image>"
      end

      refute said(context.engine, [%{type: "image", data: file(2)}]) == wanted
      assert {:ok, %{content: ^wanted}} = Mellea.chat(context.session, "what", images: [file(1)])
    end

    test "shows them with an instruction", context do
      tokens = fn options ->
        {:ok, %{thunk: thunk}} =
          Mellea.instruct(context.session, "Say what it is.", [{:strategy, nil} | options])

        {:ok, %{usage: %{"prompt_tokens" => tokens}}} = ModelOutputThunk.generate_log(thunk)
        assert {:ok, nil} = Mellea.reset(context.session)
        tokens
      end

      assert tokens.(images: [file(1)]) > tokens.([])
    end

    test "refuses what is no image with its place, and too many", context do
      for {images, text} <- [
            {["abc"], "content[0]: cannot be read as image"},
            {[%{path: "/etc/passwd"}], "allowed_local_media_path"},
            {List.duplicate(tensor(1), 3), "takes 2 in one prompt"}
          ] do
        assert {:error, %Error{kind: :invalid} = error} =
                 Mellea.chat(context.session, "what", images: images)

        assert error.message =~ text
      end
    end
  end
end
