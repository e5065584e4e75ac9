defmodule Vllm.Mellea do
  @moduledoc """
  [Mellea](https://docs.mellea.ai) on the engines of a worker: instructions with requirements, which
  are checked, and texts that are made again until they meet them.

      alias Vllm.Mellea
      alias Vllm.Mellea.Requirement

      {:ok, session} = Mellea.start_session("Qwen/Qwen3-0.6B", model_options: %{max_new_tokens: 200})

      {:ok, result} =
        Mellea.instruct(session, "Write a greeting for {{name}}.",
          user_variables: %{name: "Ada"},
          requirements: [
            "Be polite.",
            %Requirement{description: "Mention Ada.", validate: &String.contains?(&1, "Ada")}
          ]
        )

      result.value

  Mellea itself runs in the worker: its templates, its sampling strategies, its parsing of tool calls.
  Validators, hooks and tools are functions of Elixir. Validators and hooks run beside the calling
  process while the call waits; if the caller ends, so does the text. Tools are run by
  `Vllm.Mellea.ToolCall.call/2`.

  A session is an object of the worker, and what `start_session/2` returns is its `Vllm.Ref`. With a
  `Vllm.Mellea.ChatContext` its context grows with each answer, so a second call waits until the first
  has ended. A validator or a hook that calls its own session waits in vain, until its time is over.
  Sessions cost nothing: take one for each conversation.

  `Vllm.Mellea.Backends.LocalVLLMBackend` is the layer below: contexts, thunks, streaming.

  ## Hooks

  `hooks:` are functions around each text of a call, also around those of the judge. They are Mellea's
  hooks of the same names, and each gets a map:

  | hook | it is told | and may |
  | --- | --- | --- |
  | `:generation_pre_call` | `:messages`, `:model_options`, `:format`, `:tool_calls` | change the last three |
  | `:generation_post_call` | `:messages`, `:value`, `:tool_calls`, `:usage`, `:finish_reasons`, `:latency_ms` | block |
  | `:generation_batch_pre_call` | `:prompts`, `:num_actions`, `:model_options`, `:format`, `:tool_calls` | change the last three |
  | `:generation_batch_post_call` | `:prompts`, `:num_actions`, `:latency_ms`, and `:outputs`, each as of one text | block |

  All are told `:hook`, `:model`, `:provider` and `:generation_id`, which is the same before and after. The
  batch is that of `Vllm.Mellea.Backends.LocalVLLMBackend.generate_from_raw/4`; there the other two do not
  run. In a call that only begins a text, `generate_from_context/4`, only the first runs.

  A hook before a text returns `:ok`, `{:modify, changes}` or `{:block, reason}`:

      colder = fn _call -> {:modify, model_options: %{temperature: 0.0}} end
      Mellea.chat(session, "Hello", hooks: [generation_pre_call: colder])

  Options that it returns are put over those of the call, whose names are Mellea's wire names (see
  `Vllm.Mellea.ModelOption.to_wire/1`). Of what a hook after a text returns only `{:block, reason}` has an
  effect. A blocked call is the error `:cancelled`; a hook that fails is `:invalid`.
  """

  alias Vllm.{Call, Error, Ref}
  alias Vllm.Core.Mellea.{Asking, Generations, Hooks, Settings, Verdicts, Wire}
  alias Vllm.Mellea.Backends.LocalVLLMBackend

  alias Vllm.Mellea.{
    ChatContext,
    Component,
    Instruction,
    Message,
    ModelIdentifier,
    ModelOutputThunk,
    Requirement,
    Result,
    SimpleContext,
    ValidationResult
  }

  @typedoc "What can be said to the model, or was said: a text, a component, or a thunk."
  @type span :: String.t() | Message.t() | Instruction.t() | Component.t() | Ref.t()

  @typedoc "What a session remembers of earlier turns."
  @type context :: ChatContext.t() | SimpleContext.t()

  @session_keys [:context]

  @doc """
  Begins a session on a backend, or on a model, for which it makes a backend.

  ## Options

  #{Settings.docs(:session)}
  For a model also those of `Vllm.Mellea.Backends.LocalVLLMBackend.new/2`, such as `engine:`.
  """
  @spec start_session(Ref.t() | String.t() | ModelIdentifier.t(), keyword()) ::
          {:ok, Ref.t()} | {:error, Error.t()}
  def start_session(backend_or_model, opts \\ [])

  def start_session(%Ref{type: "LocalVLLMBackend"} = backend, opts) do
    with {:ok, settings} <- Settings.validate(:session, opts),
         do: session(backend, settings.context, settings)
  end

  def start_session(%Ref{}, _opts),
    do: invalid("backend: wants the Vllm.Ref of a LocalVLLMBackend", "backend")

  def start_session(model, opts) do
    if Keyword.keyword?(opts) do
      {own, opts} = Keyword.split(opts, @session_keys)

      with {:ok, settings} <- Settings.validate(:session, own),
           {:ok, backend} <- LocalVLLMBackend.new(model, opts),
           {:error, error} <- session(backend, settings.context, settings) do
        # An engine that was built for the session is nobody's now; one that was given goes on.
        LocalVLLMBackend.shutdown(backend)
        {:error, error}
      end
    else
      invalid("the options must be a keyword list", nil)
    end
  end

  defp session(backend, context, settings) do
    arguments = [backend: backend, context: Wire.context(context || %SimpleContext{})]
    Call.invoke_class("MelleaSession", "new", 0, [backend, arguments, [rpc: settings.rpc]])
  end

  @doc """
  Has the model follow an instruction, a text or a `Vllm.Mellea.Instruction`, and returns a
  `Vllm.Mellea.Result`.

  If the text does not meet the requirements, it is made again as the strategy says. If none of them
  does, `success` is `false`, and that is no error.

  A validator that raises, returns something else than a verdict, or takes too long ends the call with
  `:invalid` or `:timeout`.

  ## Options

  #{Settings.docs(:instruct)}
  """
  @spec instruct(Ref.t(), String.t() | Instruction.t(), keyword()) ::
          {:ok, Result.t()} | {:error, Error.t()}
  def instruct(session, instruction, opts \\ []) do
    with {:ok, settings} <- Settings.validate(:instruct, opts),
         {:ok, instruction} <- instruction(instruction, settings),
         :ok <- Verdicts.check(instruction.requirements) do
      arguments = [{:strategy, Settings.strategy(settings)} | Settings.arguments(settings)]
      given = [Wire.instruction(instruction)]

      with {:ok, answer} <-
             ask(session, "instruct", given, arguments, instruction.requirements, settings),
           do: {:ok, result(answer, settings.tools)}
    end
  end

  @instruction [
    :requirements,
    :icl_examples,
    :grounding_context,
    :user_variables,
    :prefix,
    :images
  ]

  defp instruction(text, settings) when is_binary(text),
    do: {:ok, struct!(Instruction, [{:description, text} | fields(settings)])}

  defp instruction(%Instruction{} = instruction, settings) do
    given = for {name, value} <- fields(settings), value not in [[], %{}, nil], do: {name, value}
    {:ok, struct!(instruction, given)}
  end

  defp instruction(_other, _settings),
    do: invalid("instruction: wants a text or a Vllm.Mellea.Instruction", "instruction")

  defp fields(settings), do: for(name <- @instruction, do: {name, Map.fetch!(settings, name)})

  @doc """
  Says something to the model, a text or a component, and returns its answer as a
  `Vllm.Mellea.Message`. Both are turns of the session's context.

  ## Options

  #{Settings.docs(:chat)}
  """
  @spec chat(Ref.t(), span(), keyword()) :: {:ok, Message.t()} | {:error, Error.t()}
  def chat(session, content, opts \\ []) do
    with {:ok, settings} <- Settings.validate(:chat, opts),
         given = [content |> message(settings) |> Wire.span()],
         {:ok, answer} <-
           ask(session, "chat", given, Settings.arguments(settings), [], settings) do
      calls = ModelOutputThunk.with_tools(answer["tool_calls"], settings.tools)

      {:ok,
       %Message{
         role: :assistant,
         content: answer["value"],
         tool_calls: calls,
         thunk: answer["thunk"]
       }}
    end
  end

  defp message(text, settings) when is_binary(text),
    do: %Message{role: settings.role, content: text, images: settings.images}

  defp message(%Message{} = message, %{images: [_ | _] = images}), do: %{message | images: images}
  defp message(other, _settings), do: other

  @doc """
  Whether an output meets requirements: texts, about which the model is asked, and
  `Vllm.Mellea.Requirement`s with a function.

  ## Options

  #{Settings.docs(:validate)}
  """
  @spec validate(Ref.t(), [String.t() | Requirement.t()], keyword()) ::
          {:ok, [ValidationResult.t()]} | {:error, Error.t()}
  def validate(session, requirements, opts \\ []) do
    with {:ok, settings} <- Settings.validate(:validate, opts),
         :ok <- Verdicts.check(requirements) do
      arguments =
        [{:output, settings.output} | Settings.arguments(settings)]
        |> Enum.reject(&match?({:output, nil}, &1))

      given = [Wire.requirements(requirements)]

      with {:ok, answer} <- ask(session, "validate", given, arguments, requirements, settings),
           do: {:ok, validations(answer)}
    end
  end

  @doc "What was said in the session so far, as messages. Takes `timeout` and `rpc`."
  @spec context(Ref.t(), keyword()) :: {:ok, [Message.t()]} | {:error, Error.t()}
  def context(session, opts \\ []) do
    with {:ok, messages} <- plain(session, "context", opts),
         do: {:ok, Enum.map(messages, &%Message{role: &1["role"], content: &1["content"]})}
  end

  @doc """
  The session's backend, for example to shut down the engine that was built for it:
  `Vllm.Mellea.Backends.LocalVLLMBackend.shutdown/2`. Takes `timeout` and `rpc`.
  """
  @spec backend(Ref.t(), keyword()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def backend(session, opts \\ []), do: plain(session, "get_backend", opts)

  @doc "Forgets what was said in the session. Takes `timeout` and `rpc`."
  @spec reset(Ref.t(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def reset(session, opts \\ []), do: plain(session, "reset", opts)

  @doc """
  The value of a text that is JSON, such as one of a call with `format:`.

  ## Options

  #{Settings.docs(:parsing)}
  """
  @spec parse_json(String.t(), keyword()) :: {:ok, term()} | {:error, Error.t()}
  def parse_json(text, opts \\ []) do
    with {:ok, settings} <- Settings.validate(:parsing, opts) do
      arguments = List.wrap(settings.instance) ++ [[text: text], [rpc: settings.rpc]]
      Call.invoke_class("MelleaTools", "parse_json", 0, arguments)
    end
  end

  ## Results

  defp result(answer, tools) do
    %Result{
      value: answer["value"],
      success: answer["success"],
      samples: Enum.map(answer["samples"], &%{value: &1["value"], validations: validations(&1)}),
      tool_calls: ModelOutputThunk.with_tools(answer["tool_calls"], tools),
      thunk: answer["thunk"]
    }
  end

  defp validations(%{"validations" => validations}) do
    for one <- validations do
      %ValidationResult{
        requirement: one["requirement"],
        result: one["result"],
        reason: one["reason"],
        score: one["score"]
      }
    end
  end

  ## Calls that may ask

  defp ask(%Ref{type: "MelleaSession"} = session, method, given, arguments, required, settings) do
    hooks = Hooks.names(settings.hooks)
    arguments = if hooks == [], do: arguments, else: [{:hooks, hooks} | arguments]

    Generations.span(method, count(method, required), fn ->
      Asking.call(session, method, given, arguments, required, settings)
    end)
  end

  defp ask(other, _method, _given, _arguments, _required, _settings), do: no_session(other)

  # About a requirement without a function the model is asked, so that a text is made.
  defp count("validate", required),
    do: Enum.count(required, &(not match?(%Requirement{validate: f} when is_function(f), &1)))

  defp count(_method, _required), do: 1

  ## Other calls

  defp plain(%Ref{type: "MelleaSession"} = session, method, opts) do
    with {:ok, settings} <- Settings.validate(:asking, opts),
         do: Call.invoke(session, method, [], [], rpc: settings.rpc)
  end

  defp plain(other, _method, _opts), do: no_session(other)

  defp no_session(other) do
    shown = inspect(other, limit: 5, printable_limit: 100)
    invalid("session: wants the Vllm.Ref of a MelleaSession, got: #{shown}", "session")
  end

  defp invalid(message, parameter) do
    details = if parameter, do: %{"parameter" => parameter}, else: %{}
    {:error, Error.new(:invalid, message, details: details)}
  end
end
