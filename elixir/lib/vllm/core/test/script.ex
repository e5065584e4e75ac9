defmodule Vllm.Core.Test.Script do
  @moduledoc false
  # Translates the arguments of Vllm.Test's functions into those of the fake engine: its behaviours,
  # injections and plan.

  alias Vllm.Codec
  alias Vllm.Core.Options

  # For each kind of error that an engine can cause: the class that vLLM raises, or Python's nearest.
  @classes %{
    invalid: "VLLMValidationError",
    not_found: "VLLMNotFoundError",
    unsupported: "NotImplementedError",
    conflict: "ProfilerAlreadyActiveError",
    overloaded: "QueueOverflowError",
    timeout: "TimeoutError",
    engine_dead: "EngineDeadError",
    engine_error: "EngineGenerateError",
    python: "Exception"
  }

  @message "scripted by the test"

  # Of a fake engine, which counts and waits for a test: limits that no test reaches.
  @count {:range, 0, 1_000_000}
  @times {:times, {:range, 1, 1_000_000}, nil, "for how many requests or calls it holds."}

  @request_options [{:prompt, :term, :any, "selects requests."}, @times]

  @reply_options [
    @times,
    {:hold, @count, nil, "after how many tokens the request waits."},
    {:finish_reason, :text, nil, "in place of the engine's."},
    {:stop_reason, {:or, [:text, {:range, 0, 0xFFFF_FFFF}]}, nil, "why it stopped."},
    {:logprobs, {:list, :number}, nil, "the log probability of each token."},
    {:then, :term, :stop, "what happens after the last token."},
    {:delay, :pause, 0, "milliseconds before each token."},
    {:reasoning, {:or, [:text, {:list, :text}]}, nil, "what comes before the answer in a chat."},
    {:tool_calls, {:list, :term}, nil, "the tools that a chat calls after the answer."},
    {:merge, :boolean, false, "whether tokens are merged."}
  ]

  @doc "The kinds of error that can be scripted."
  def kinds, do: Map.keys(@classes)

  @doc "An error as the fake engine takes it: class and message."
  # EngineDeadError takes no message.
  def error({:engine_dead, _message}), do: [class(:engine_dead)]
  def error(:engine_dead), do: [class(:engine_dead)]
  def error({type, message}) when is_binary(message), do: [class(type), message]
  def error(type), do: [class(type), @message]

  defp class(kind) when is_map_key(@classes, kind), do: Map.fetch!(@classes, kind)
  defp class(name) when is_binary(name), do: name

  defp class(other) do
    raise ArgumentError,
          "an error is one of #{Enum.map_join(kinds(), ", ", &inspect/1)}, the name of a Python " <>
            "exception, or a tuple of one of these and a message, got: #{inspect(other)}" <>
            elsewhere(other)
  end

  defp elsewhere(:worker_down), do: "; to lose the worker use Vllm.Test.crash_worker/1"
  defp elsewhere(_other), do: ""

  @doc "A behaviour that answers with these tokens, as arguments of `script`."
  def reply(prompt, tokens, options) do
    options = Options.validate!(@reply_options, options, "the options of an answer")

    behaviour =
      answer(tokens)
      |> Map.merge(%{"delay" => options[:delay] / 1000, "paced" => not options[:merge]})
      |> Map.merge(ending(options[:then], options[:hold]))
      |> put("reasoning", options[:reasoning] && tokens(options[:reasoning]))
      |> put("tool_calls", options[:tool_calls] && Enum.map(options[:tool_calls], &tool_call/1))
      |> put("finish_reason", options[:finish_reason])
      |> put("stop_reason", options[:stop_reason])
      |> put("logprobs", options[:logprobs])

    script(behaviour, prompt: prompt, times: options[:times])
  end

  @doc "A behaviour for the requests that `options` select, as arguments of `script`."
  def script(behaviour, options) do
    options = Options.validate!(@request_options, options, "the options of a script")

    %{"behaviour" => behaviour}
    |> Map.merge(prompt(options[:prompt]))
    |> put("times", options[:times])
  end

  @doc "The fault of a method, as arguments of `inject`."
  def injection(method, injection, options) do
    injection = put(injection, "times", times(options))
    %{"method" => method(method), "injection" => injection}
  end

  @doc "The option `:times`, where it is the only one."
  def times(options), do: Options.validate!([@times], options, "the options of a fault").times

  @doc "The name of a method."
  def method(method) do
    Options.check!({:or, [:text, :atom]}, method, "the name of a method")
    to_string(method)
  end

  @doc "Milliseconds, as the fake engine takes them."
  def seconds(milliseconds), do: Options.check!(:pause, milliseconds, "a delay") / 1000

  @doc "How many tokens, requests or calls."
  def count(count), do: Options.check!(@count, count, "a count")

  @doc "What `embed` answers with."
  def embedding(numbers) do
    rows = {:or, [{:list, :number}, {:list, {:list, :number}}]}
    %{"embedding" => Options.check!(rows, numbers, "an embedding")}
  end

  @doc "Splits the options of a worker into its plan and the others."
  def plan(options) do
    Options.check!(:keyword_list, options, "the options of a worker")
    {plan, others} = Keyword.split(options, [:replies, :start_error, :start_delay])

    config =
      Enum.reduce(plan, %{}, fn
        {:replies, replies}, config -> Map.put(config, "scripts", planned_all(replies))
        {:start_error, error}, config -> Map.put(config, "build_error", error(error))
        {:start_delay, delay}, config -> Map.put(config, "build_seconds", seconds(delay))
      end)

    {config, others}
  end

  defp planned_all(replies) do
    Options.check!({:list, :term}, replies, "the option :replies")
    Enum.map(replies, &planned/1)
  end

  defp planned({prompt, tokens}), do: reply(prompt, tokens, [])
  defp planned({prompt, tokens, options}), do: reply(prompt, tokens, options)

  defp planned(other) do
    raise ArgumentError,
          "an element of the option :replies is {prompt, tokens} or {prompt, tokens, options}, " <>
            "got: #{inspect(other)}"
  end

  @doc "A plan as the environment variable that the worker reads."
  def environment(plan) when plan == %{}, do: %{}

  def environment(plan) do
    case Codec.encode(plan) do
      {:ok, iodata} ->
        %{"VLLM_BRIDGE_FAKE" => iodata |> IO.iodata_to_binary() |> Base.encode64()}

      {:error, error} ->
        raise ArgumentError, "a reply cannot be sent to the worker: #{error.message}"
    end
  end

  ## Parts

  defp put(map, _key, nil), do: map
  defp put(map, key, value), do: Map.put(map, key, value)

  # A text is split into words, each with the blanks before it, as tokenizers do.
  defp tokens(text) when is_binary(text) do
    Options.check!(:text, text, "an answer")
    for [token] <- Regex.scan(~r/\s*\S+|\s+$/u, text), do: token
  end

  defp tokens(tokens), do: Options.check!({:list, :text}, tokens, "an answer that is no string")

  defp answer({:json, value}), do: %{"json" => json(value)}
  defp answer(tokens), do: %{"say" => tokens(tokens)}

  # What cannot be JSON would fail in the worker, without the name of the argument.
  defp json(value) do
    if json?(value),
      do: value,
      else:
        raise(
          ArgumentError,
          "a value of JSON is nil, a boolean, a number, a text, an atom, a list or a map of these, " <>
            "got: #{inspect(value, limit: 5)}"
        )
  end

  defp json?(%{__struct__: _}), do: false

  defp json?(map) when is_map(map) do
    Enum.all?(map, fn {key, value} -> (is_atom(key) or text?(key)) and json?(value) end)
  end

  defp json?(list) when length(list) >= 0, do: Enum.all?(list, &json?/1)
  defp json?(value), do: is_atom(value) or is_number(value) or text?(value)

  defp text?(value), do: is_binary(value) and String.valid?(value)

  # Arguments that are a text are what the model writes, which may be no JSON.
  defp tool_call({name, arguments}) when is_atom(name) or is_binary(name) do
    Options.check!(:text, to_string(name), "the name of a tool")

    cond do
      is_map(arguments) -> [to_string(name), json(arguments)]
      text?(arguments) and arguments != "" -> [to_string(name), arguments]
      true -> wrong_call({name, arguments})
    end
  end

  defp tool_call(other), do: wrong_call(other)

  defp wrong_call(other) do
    raise ArgumentError,
          "an element of :tool_calls is {name, arguments}, and the arguments are a map or a text " <>
            "that is not empty, got: #{inspect(other, limit: 5)}"
  end

  # After all tokens: only the engine knows how many there are.
  @at_end %{"after" => nil}

  defp ending(:stop, nil), do: %{}
  defp ending(:stop, hold), do: %{"hold" => true, "after" => hold}
  defp ending(:hang, nil), do: Map.put(@at_end, "hang", true)
  defp ending(:die, nil), do: Map.put(@at_end, "die", true)
  defp ending({:fail, error}, nil), do: Map.put(@at_end, "fail", error(error))

  defp ending(other, nil) do
    raise ArgumentError, ":then is :stop, :hang, :die or {:fail, error}, got: #{inspect(other)}"
  end

  defp ending(_other, _hold), do: raise(ArgumentError, ":hold cannot go with :then")

  defp prompt(:any), do: %{}
  defp prompt(%Regex{} = pattern), do: %{"pattern" => flags(pattern) <> pattern.source}
  defp prompt(prompt) when is_binary(prompt) or is_list(prompt), do: %{"prompt" => prompt}

  defp prompt(other) do
    raise ArgumentError,
          "a prompt is a text, a list of token ids, a regex or :any, got: #{inspect(other)}"
  end

  # The flags of a regex in Elixir, letters before 1.15 and atoms since, and in Python.
  @flags %{
    "i" => "i",
    "m" => "m",
    "s" => "s",
    "x" => "x",
    :caseless => "i",
    :multiline => "m",
    :dotall => "s",
    :extended => "x"
  }

  # Python's regexes are always Unicode. The newlines come with :dotall, which needs none.
  @implied ["u", :unicode, :ucp, {:newline, :anycrlf}]

  defp flags(pattern) do
    case for option <- regex_options(pattern), option not in @implied, do: flag(option) do
      [] -> ""
      flags -> "(?#{flags})"
    end
  end

  defp regex_options(pattern) do
    case Regex.opts(pattern) do
      letters when is_binary(letters) -> String.graphemes(letters)
      options -> options
    end
  end

  defp flag(option) when is_map_key(@flags, option), do: Map.fetch!(@flags, option)

  defp flag(option) do
    raise ArgumentError,
          "the regex of a prompt is used by Python, which has no option #{inspect(option)}; remove it"
  end
end
