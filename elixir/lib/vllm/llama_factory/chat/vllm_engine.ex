defmodule Vllm.LlamaFactory.Chat.VllmEngine do
  @moduledoc """
  LLaMA-Factory's `VllmEngine`: templates, tools, media and sampling parameters are its own, and an
  engine of the worker answers.

      {:ok, model} = VllmEngine.new(%{model_name_or_path: "Qwen/Qwen3-0.6B"}, %{template: "qwen3"})
      {:ok, [response]} = VllmEngine.chat(model, "Hello", max_new_tokens: 50)

  The object lives as long as some process has its reference. The engine is an ordinary
  `Vllm.AsyncLLM`: `engine/2` returns its reference, it may have other callers, and it lives until
  `shutdown/2` or `Vllm.AsyncLLM.shutdown/2`.

  ## Messages

  A string is one message of the user's. Otherwise a list of maps with `role` and `content`, or of
  `{role, content}`. The roles are `user`, `assistant`, `observation` and `function`, in turns that the
  user begins. What the model is told about its task is the option `system`.

  ## Media

  `images:`, `videos:` and `audios:` are lists. An item is a path on the worker's machine, as a string
  or `{:path, path}`, or content, as `{:bytes, binary}`; maps with `path` or `bytes` are the same. A video
  may also be a list of frames, each an image, and audio a `Vllm.Tensor` or a list of samples. Where the
  messages have no placeholder (`<image>`, `<video>`, `<audio>`), LLaMA-Factory puts them before the
  first. The worker needs `mix vllm.setup --with multimodal` to read them.
  """

  alias Vllm.{AsyncLLM, Call, Error, LlamaFactory, Ref, Stream}
  alias Vllm.Core.LlamaFactory.{Arguments, Settings}
  alias Vllm.LlamaFactory.{Response, Tools}

  @typedoc "What to answer; see *Messages*."
  @type messages :: String.t() | [map() | {atom() | String.t(), String.t()}]

  @typedoc "Arguments of LLaMA-Factory by name."
  @type fields :: map() | keyword()

  ## Making one

  @doc """
  Makes one from LLaMA-Factory's arguments: the fields of its `ModelArguments`, `DataArguments`,
  `FinetuningArguments` and `GeneratingArguments`.

  Without `engine:` an engine is built from what `resolve_engine_args/5` returns, which takes half a
  minute or more.

  ## Options

  #{Settings.docs(:new)}

  ## Errors

    * `:invalid` - an argument is unknown or wrong, or LLaMA-Factory refuses it; nothing was started
    * `:not_found` - there is no such model or adapter
    * `:unsupported` - another back end, or arguments that need a library that is not there
    * `:missing_dependency` - `mix vllm.setup --with llama-factory` installs what is missing
    * those of `Vllm.AsyncLLM.from_engine_args/1`
  """
  @spec new(fields(), fields(), fields(), fields(), keyword()) ::
          {:ok, Ref.t()} | {:error, Error.t()}
  def new(model_args, data_args \\ [], finetuning_args \\ [], generating_args \\ [], opts \\ []) do
    with {:ok, arguments} <- groups(model_args, data_args, finetuning_args, generating_args),
         do: make("VllmEngine", "resolve_engine_args", arguments, opts)
  end

  @doc """
  The arguments of the engine that `new/5` would build, as LLaMA-Factory makes them. No engine is built,
  and no weights are read. Takes the options of `new/5`, without `engine`.
  """
  @spec resolve_engine_args(fields(), fields(), fields(), fields(), keyword()) ::
          {:ok, map()} | {:error, Error.t()}
  def resolve_engine_args(
        model_args,
        data_args \\ [],
        finetuning_args \\ [],
        generating_args \\ [],
        opts \\ []
      ) do
    with {:ok, settings} <- Settings.validate(:place, opts),
         {:ok, arguments} <- groups(model_args, data_args, finetuning_args, generating_args),
         do: LlamaFactory.on_instance("LlamaFactory", "resolve_engine_args", arguments, settings)
  end

  defp groups(model_args, data_args, finetuning_args, generating_args) do
    [
      model_args: model_args,
      data_args: data_args,
      finetuning_args: finetuning_args,
      generating_args: generating_args
    ]
    |> Enum.reduce_while({:ok, []}, fn {name, given}, {:ok, done} ->
      case Arguments.fields(given, Atom.to_string(name)) do
        {:ok, fields} -> {:cont, {:ok, [{name, fields} | done]}}
        error -> {:halt, error}
      end
    end)
  end

  @doc false
  # On the engine that is given, or on one that is built for it.
  @spec make(String.t(), String.t(), keyword(), term()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def make(class, resolve, arguments, opts) do
    with {:ok, settings} <- Settings.validate(:new, opts),
         {:ok, engine} <- LlamaFactory.engine(settings) do
      if engine,
        do: make_on(engine, class, arguments, settings),
        else: make_with_engine(class, resolve, arguments, settings)
    end
  end

  defp make_with_engine(class, resolve, arguments, settings) do
    with {:ok, args} <- LlamaFactory.on_instance("LlamaFactory", resolve, arguments, settings),
         {:ok, engine} <- build(args, settings),
         {:error, _reason} = error <- make_on(engine, class, arguments, settings) do
      AsyncLLM.shutdown(engine)
      error
    end
  end

  defp build(args, settings) do
    place = List.wrap(settings.instance)
    Call.invoke_class("AsyncLLM", "from_engine_args", 1, place ++ [args, [rpc: settings.rpc]])
  end

  # The object has to be where its engine is.
  defp make_on(engine, class, arguments, settings) do
    settings = %{settings | instance: engine}
    LlamaFactory.on_instance(class, "new", arguments ++ [engine: engine], settings)
  end

  @doc """
  Shuts down the engine, also for its other callers.

  ## Options

  #{Settings.docs(:ending)}
  """
  @spec shutdown(Ref.t(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def shutdown(model, opts \\ []) do
    with {:ok, settings} <- Settings.validate(:ending, opts),
         {:ok, engine} <- engine(model, opts),
         do: AsyncLLM.shutdown(engine, rpc: settings.rpc)
  end

  ## Answers

  @doc """
  Answers a chat: one response for each of `num_return_sequences`, in the order of their indices.

  ## Options

  #{Settings.docs(:chat)}

  ## Errors

    * `:invalid` - the messages, tools, media or options are wrong; the message names it
    * `:not_found` - there is no file of an image, video or audio
    * `:unsupported` - a role is none of LLaMA-Factory's
    * those of `Vllm.AsyncLLM.generate/5`
  """
  @spec chat(Ref.t(), messages(), keyword()) :: {:ok, [Response.t()]} | {:error, Error.t()}
  def chat(model, messages, opts \\ []) do
    with {:ok, responses} <- ask(model, "chat", messages, :chat, opts),
         do: {:ok, Enum.map(responses, &response/1)}
  end

  @doc """
  Answers a chat piece by piece: a `Vllm.Stream` of strings, which together are the first answer. Takes
  the options of `chat/3`. Halting the stream aborts the request.
  """
  @spec stream_chat(Ref.t(), messages(), keyword()) :: {:ok, Stream.t()} | {:error, Error.t()}
  def stream_chat(model, messages, opts \\ []),
    do: ask(model, "stream_chat", messages, :chat, opts)

  @doc "Always the error `:unsupported`: a vLLM engine of LLaMA-Factory's has no scores."
  @spec get_scores(Ref.t(), [String.t()], keyword()) :: {:ok, [float()]} | {:error, Error.t()}
  def get_scores(model, batch_input, opts \\ []),
    do: ask_about(model, "get_scores", [batch_input], opts)

  defp ask(model, method, messages, kind, opts) do
    with {:ok, settings} <- Settings.validate(kind, opts),
         {:ok, messages} <- Arguments.messages(messages) do
      options = if kind == :chat, do: [options: Settings.given(settings, :generation)], else: []

      Call.invoke(model, method, [messages], Arguments.chat(settings) ++ options,
        rpc: settings.rpc
      )
    end
  end

  defp response(fields) do
    %Response{
      response_text: fields["response_text"],
      response_length: fields["response_length"],
      prompt_length: fields["prompt_length"],
      finish_reason: fields["finish_reason"]
    }
  end

  ## What a request would be

  @doc """
  The token ids of a prompt.

  ## Options

  #{Settings.docs(:prompt)}
  """
  @spec encode_prompt(Ref.t(), messages(), keyword()) :: {:ok, [integer()]} | {:error, Error.t()}
  def encode_prompt(model, messages, opts \\ []),
    do: ask(model, "encode_prompt", messages, :prompt, opts)

  @doc """
  The fields of vLLM's `SamplingParams` for a request whose prompt has so many tokens.

  ## Options

  #{Settings.docs(:parameters)}
  """
  @spec sampling_params(Ref.t(), non_neg_integer(), keyword()) ::
          {:ok, map()} | {:error, Error.t()}
  def sampling_params(model, prompt_length, opts \\ []) do
    with {:ok, settings} <- Settings.validate(:parameters, opts) do
      options = [options: Settings.given(settings, :generation)]
      Call.invoke(model, "sampling_params", [prompt_length], options, rpc: settings.rpc)
    end
  end

  @doc "The template: its formats, stop words and default system message. Takes the options of `engine/2`."
  @spec template(Ref.t(), keyword()) :: {:ok, map()} | {:error, Error.t()}
  def template(model, opts \\ []), do: ask_about(model, "template", [], opts)

  @doc "The ids that end an answer. Takes the options of `engine/2`."
  @spec stop_token_ids(Ref.t(), keyword()) :: {:ok, [integer()]} | {:error, Error.t()}
  def stop_token_ids(model, opts \\ []), do: ask_about(model, "stop_token_ids", [], opts)

  @doc """
  The tool calls in an answer, by the template's format, as `Vllm.LlamaFactory.Tools.extract/3`. Takes
  the options of `engine/2`.
  """
  @spec extract_tool(Ref.t(), String.t(), keyword()) ::
          {:ok, String.t() | [Tools.tool_call()]} | {:error, Error.t()}
  def extract_tool(model, text, opts \\ []) do
    with {:ok, found} <- ask_about(model, "extract_tool", [text], opts),
         do: {:ok, Tools.calls(found)}
  end

  @doc """
  Images as the model gets them: maps with `"width"`, `"height"`, `"mode"` and the image as `"png"`.
  Takes the options of `engine/2`.
  """
  @spec regularize_images(Ref.t(), [term()], keyword()) :: {:ok, [map()]} | {:error, Error.t()}
  def regularize_images(model, images, opts \\ []),
    do: ask_about(model, "regularize_images", [Arguments.media(images)], opts)

  @doc "Videos as the model gets them: the frames of each, as `regularize_images/3` returns them."
  @spec regularize_videos(Ref.t(), [term()], keyword()) :: {:ok, [[map()]]} | {:error, Error.t()}
  def regularize_videos(model, videos, opts \\ []),
    do: ask_about(model, "regularize_videos", [Arguments.media(videos)], opts)

  @doc """
  Audio as the model gets it: a `Vllm.Tensor` each, of one channel in the rate of the arguments. Takes
  the options of `engine/2`.
  """
  @spec regularize_audios(Ref.t(), [term()], keyword()) ::
          {:ok, [Vllm.Tensor.t()]} | {:error, Error.t()}
  def regularize_audios(model, audios, opts \\ []),
    do: ask_about(model, "regularize_audios", [Arguments.media(audios)], opts)

  ## What it was made from

  @doc """
  The engine that answers: the reference of an AsyncLLM.

  ## Options

  #{Settings.docs(:asking)}
  """
  @spec engine(Ref.t(), keyword()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def engine(model, opts \\ []), do: ask_about(model, "engine", [], opts)

  @doc """
  The engine's arguments as LLaMA-Factory makes them. Those of an engine that was given may be others.
  Takes the options of `engine/2`.
  """
  @spec engine_args(Ref.t(), keyword()) :: {:ok, map()} | {:error, Error.t()}
  def engine_args(model, opts \\ []), do: ask_about(model, "engine_args", [], opts)

  @doc "What LLaMA-Factory logged while it was made. Takes the options of `engine/2`."
  @spec engine_notes(Ref.t(), keyword()) :: {:ok, [String.t()]} | {:error, Error.t()}
  def engine_notes(model, opts \\ []), do: ask_about(model, "engine_notes", [], opts)

  @doc "Whether the stage of the arguments is one that generates. Takes the options of `engine/2`."
  @spec can_generate?(Ref.t(), keyword()) :: {:ok, boolean()} | {:error, Error.t()}
  def can_generate?(model, opts \\ []), do: ask_about(model, "can_generate", [], opts)

  @doc "The id of the last request, `nil` before the first. Takes the options of `engine/2`."
  @spec last_request_id(Ref.t(), keyword()) :: {:ok, String.t() | nil} | {:error, Error.t()}
  def last_request_id(model, opts \\ []), do: ask_about(model, "last_request_id", [], opts)

  defp ask_about(model, method, positional, opts) do
    with {:ok, settings} <- Settings.validate(:asking, opts),
         do: Call.invoke(model, method, positional, [], rpc: settings.rpc)
  end
end
