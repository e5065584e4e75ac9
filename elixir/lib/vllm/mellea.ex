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
  Validators and tools are functions of Elixir. A validator runs beside the calling process while
  `instruct/3` waits; if the caller ends, so does the text. Tools are run by
  `Vllm.Mellea.ToolCall.call/2`.

  A session is an object of the worker, and what `start_session/2` returns is its `Vllm.Ref`. With a
  `Vllm.Mellea.ChatContext` its context grows with each answer, so a second call waits until the first
  has ended. A validator that calls its own session waits in vain, until its `validator_timeout`.
  Sessions cost nothing: take one for each conversation.

  `Vllm.Mellea.Backends.LocalVLLMBackend` is the layer below: contexts, thunks, streaming.
  """

  alias Vllm.{Call, Error, Ref}
  alias Vllm.Core.Chat.FunctionRuns
  alias Vllm.Core.Mellea.{Settings, Wire}
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
         :ok <- check_requirements(instruction.requirements) do
      arguments = [{:strategy, Settings.strategy(settings)} | Settings.arguments(settings)]
      given = [Wire.instruction(instruction)]

      with {:ok, answer} <-
             ask(session, "instruct", given, arguments, instruction.requirements, settings),
           do: {:ok, result(answer, settings.tools)}
    end
  end

  @instruction [:requirements, :icl_examples, :grounding_context, :user_variables, :prefix]

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
         given = [content |> message(settings.role) |> Wire.span()],
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

  defp message(text, role) when is_binary(text), do: %Message{role: role, content: text}
  defp message(other, _role), do: other

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
         :ok <- check_requirements(requirements) do
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
    with {:ok, stream} <-
           Call.invoke(session, method, given, arguments, rpc: settings.rpc),
         do: listen(stream, session, required, settings)
  end

  defp ask(other, _method, _given, _arguments, _required, _settings), do: no_session(other)

  # Each item is a question, which is answered by a call, or the result, which is the last.
  defp listen(stream, session, required, settings) do
    Enum.reduce_while(stream, no_result(), fn
      %{"result" => result}, _none ->
        {:halt, {:ok, result}}

      question, none ->
        case answer(question, session, required, settings) do
          {:ok, nil} -> {:cont, none}
          # Halting the stream ends the text.
          {:error, error} -> {:halt, {:error, error}}
        end
    end)
  rescue
    error in Error -> {:error, error}
  end

  defp no_result, do: {:error, Error.new(:protocol, "the worker sent no result")}

  defp answer(question, session, required, settings) do
    index = question["requirement"]
    %Requirement{validate: validate} = Enum.at(required, index)
    run = fn -> validate.(question["text"]) end

    with {:ok, {result, reason, score}} <-
           run |> List.wrap() |> FunctionRuns.run(settings.validator_timeout) |> verdict(index) do
      named = for {key, value} <- [reason: reason, score: score], value != nil, do: {key, value}
      Call.invoke(session, "answer", [question["question"], result], named, [])
    end
  end

  defp verdict([{:ok, result}], _index) when is_boolean(result), do: {:ok, {result, nil, nil}}

  defp verdict([{:ok, {result, reason}}], _index) when is_boolean(result) and is_binary(reason),
    do: {:ok, {result, reason, nil}}

  defp verdict([{:ok, %ValidationResult{result: result} = it}], _index)
       when is_boolean(result) and (is_binary(it.reason) or it.reason == nil) and
              (is_number(it.score) or it.score == nil),
       do: {:ok, {result, it.reason, it.score && it.score / 1}}

  defp verdict([{:ok, other}], index) do
    invalid(
      "the validator of requirement #{index} returned #{inspect(other, limit: 5, printable_limit: 100)}; " <>
        "a verdict is true, false, {boolean, reason} or a Vllm.Mellea.ValidationResult",
      "requirements[#{index}]"
    )
  end

  defp verdict([{:error, :timeout}], index) do
    message =
      "the validator of requirement #{index} took too long; give it more time with validator_timeout"

    {:error, Error.new(:timeout, message)}
  end

  defp verdict([{:error, reason}], index),
    do:
      invalid("the validator of requirement #{index} failed: #{reason}", "requirements[#{index}]")

  defp check_requirements(list) when length(list) >= 0 do
    case Enum.find_index(list, &(not requirement?(&1))) do
      nil ->
        :ok

      index ->
        invalid(
          "requirement #{index}: wants a text, or a Vllm.Mellea.Requirement whose validate is a " <>
            "function of one argument",
          "requirements[#{index}]"
        )
    end
  end

  defp check_requirements(_other), do: invalid("requirements: wants a list", "requirements")

  defp requirement?(text) when is_binary(text), do: true

  defp requirement?(%Requirement{validate: validate}),
    do: validate == nil or is_function(validate, 1)

  defp requirement?(_other), do: false

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
