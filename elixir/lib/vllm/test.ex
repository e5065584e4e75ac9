defmodule Vllm.Test do
  @moduledoc """
  Tests an application that uses `Vllm.AsyncLLM`, without vLLM and without a model.

      defmodule MyApp.SummaryTest do
        use ExUnit.Case, async: true

        setup_all context, do: %{worker: Vllm.Test.start_worker!(context)}
        setup %{worker: worker}, do: %{engine: Vllm.Test.engine!(worker)}

        test "the summary is trimmed", %{engine: engine} do
          Vllm.Test.reply(engine, ~r/^Summarise:/, [" A", " short", " text.", " "])
          assert MyApp.Summary.of(engine, "A long text.") == "A short text."

          request = Vllm.Test.assert_generated(engine, params: [temperature: 0.0])
          assert request.prompt == "Summarise: A long text."
        end
      end

  The worker and the rest of the bridge are real: an operating system process with a socket. Only the
  engine is fake. It starts in a millisecond, gives the answers that the test has scripted, records
  the calls it gets, and can fail in every way that a real engine does. It needs a Python interpreter
  with the worker's few requirements, but not vLLM; the guide *Testing* says how to install it.

  ## Workers and engines

    * A **worker** is named by an atom, the name of its `Vllm` instance. It takes 0.3 s to start:
      start one for each test module.
    * An **engine** is a `Vllm.Ref`. It takes a millisecond to start: start one for each test. Each
      engine has a script and a record of its own.

  Functions that script an engine also take the name of a worker. The script then holds for every
  engine of that worker, including those that are built later. This is for applications that build
  their engine themselves.

  Nothing is global. Any number of tests may run at once, with a worker each or sharing one.

  ## Prompts

  A prompt selects requests. It may be

    * a text, or a list of token ids: requests with exactly that prompt
    * a regex: requests whose text it matches somewhere. Python's regex engine is used, so choose a
      regex that means the same in both languages
    * `:any`: all requests that no other script selects

  A later script for the same prompt replaces an earlier one. Scripts with `times: n` are kept and come
  first: each holds for the next `n` requests, in the order in which they were given.

      Vllm.Test.refuse_admission(engine, times: 2)
      Vllm.Test.reply(engine, "Hello", "Third time lucky")

  ## Chats

  `Vllm.chat/3`, `Vllm.stream_chat/3`, `Vllm.json/4` and `Vllm.Chat.run_tools/3` are served too. The prompt of a
  chat is the text of its last message: what the user asked, or the result of a tool.

      Vllm.Test.reply(engine, "Hello", "Hi!")
      Vllm.Test.reply(engine, ~r/weather/, [], tool_calls: [{"get_weather", %{city: "Rome"}}])
      Vllm.Test.reply(engine, ~r/sunny/, "Take a hat.", reasoning: "The sun shines.")
      Vllm.Test.reply(engine, "How old?", {:json, %{age: 42}})

  As with vLLM, reasoning is told apart where the chat names a `reasoning_parser:`, and calls where it
  has `tools:` and names a `tool_parser:`; any name will do. Otherwise they are a part of the content.

  ## Errors

  An error may be

    * a kind: #{Enum.map_join(Vllm.Core.Test.Script.kinds(), ", ", &"`#{inspect(&1)}`")}. See
      `Vllm.Error` for their meaning. The engine raises the Python exception that vLLM raises.
    * the name of a Python exception, such as `"KeyError"` or `"json.decoder.JSONDecodeError"`
    * a tuple of one of these and a message: `{:engine_error, "CUDA out of memory"}`.
      `:engine_dead` keeps the message that vLLM gives it.

  vLLM reports a failure *within a request* as an `:engine_error`, unless the client caused it or the
  engine has died. Fake engines do the same: `:unsupported`, `:timeout`, `:python` and Python's own
  exceptions then become the `cause` of an `:engine_error`.

  ## Exceptions

  These functions are for tests, so they return plain values and raise on failure: `Vllm.Error` if the
  worker does not answer, `ArgumentError` for wrong options, and `ExUnit.AssertionError` if something
  that was asserted did not happen within `:timeout` milliseconds, by default #{30_000}.
  """

  import Vllm.Core.Test.Control, except: [engines: 1]

  alias Vllm.{Error, Ref}
  alias Vllm.Core.Options
  alias Vllm.Core.Test.{Assertions, Control, Record, Script, Workers}
  alias Vllm.Test.{Chat, Request}

  @typedoc "The name of a worker."
  @type worker :: atom()

  @typedoc "A fake engine."
  @type engine :: Ref.t()

  @typedoc "What is scripted: an engine, or all engines of the worker with this name."
  @type target :: engine() | worker()

  @typedoc "Selects requests, see *Prompts* above."
  @type prompt :: String.t() | [non_neg_integer()] | Regex.t() | :any

  @typedoc "An error, see *Errors* above."
  @type error :: Error.kind() | String.t() | {Error.kind() | String.t(), String.t()}

  ## Workers

  @doc """
  A child for a supervisor, so that a worker ends with its test:

      start_supervised!({Vllm.Test, name: MyTest.Vllm})

  See `start_link/1` for the options.
  """
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  defdelegate child_spec(options), to: Workers

  @doc """
  Starts a worker with fake engines.

  ## Options

    * `:name` - its name. Required.
    * `:replies` - the answers of its engines: a list of `{prompt, tokens}` and
      `{prompt, tokens, options}`, the arguments of `reply/4`
    * `:start_error` - an error that all its engines fail to start with; see also `fail_start/3`
    * `:start_delay` - milliseconds that an engine takes to start
    * all options of `Vllm`, including `:engines`. The defaults differ for three of them: the worker's
      output is not logged (`log: false`), calls in flight have 50 ms to end when it stops (`:grace`),
      and it has two minutes to start (`:start_timeout`), because a machine that runs tests may be
      busy.

  `:replies`, `:start_error` and `:start_delay` hold for every run of the worker, also after
  `crash_worker/1`. Scripts that are set later are lost when it ends.

      start_supervised!({Vllm.Test, name: MyTest.Vllm, replies: [{"Hello", " world"}]})

  ## Errors

  Those of `Vllm.start_link/1`: `:worker_down` with the worker's last lines if it does not start.
  """
  @spec start_link(keyword()) :: Supervisor.on_start() | {:error, Error.t()}
  defdelegate start_link(options), to: Workers

  @doc """
  Starts a worker under ExUnit's supervisor. Its name is made from the test or, in `setup_all`, from
  the module. Returns the name.

      setup_all context, do: %{worker: Vllm.Test.start_worker!(context)}

  The options are those of `start_link/1`. Raises if the worker does not start.
  """
  @spec start_worker!(map(), keyword()) :: worker()
  def start_worker!(context, options \\ []), do: Workers.start_worker!(context, options)

  @doc """
  Kills a worker, as the kernel does when memory runs out. Returns when its connection has ended.

  All its calls and streams fail with `:worker_down`, its engines are lost, and the instance starts a
  new worker. Give such a test a worker of its own, and `@tag :capture_log`.

      Vllm.Test.crash_worker(worker)
      assert {:error, %Vllm.Error{kind: kind}} = Vllm.AsyncLLM.check_health(engine)
      assert kind in [:worker_down, :stale_ref]
      engine = Vllm.Test.await_engine!(worker)
  """
  @spec crash_worker(worker()) :: :ok
  defdelegate crash_worker(worker), to: Workers

  ## Engines

  @doc """
  Builds a fake engine. The arguments are those of `Vllm.AsyncLLM.from_engine_args/2`; none is
  needed. `runner: "pooling"` makes one that embeds.

      engine = Vllm.Test.engine!(worker, max_model_len: 128)
  """
  @spec engine!(worker(), keyword()) :: engine()
  def engine!(worker, engine_args \\ []) do
    Options.check!(:keyword_list, engine_args, "the arguments of an engine")
    build(worker, Keyword.put_new(engine_args, :model, "fake"))
  end

  @doc """
  The engines of a worker, oldest first, including those that the application has built. An engine is
  listed until it is shut down, even if it is dead.

      [engine] = Vllm.Test.engines(MyTest.Vllm)
  """
  @spec engines(worker()) :: [engine()]
  def engines(worker) do
    for {engine, _dead?} <- unwrap(Control.engines(worker)), do: engine
  end

  @doc """
  Waits until a worker has an engine that is alive, and returns it; the newest, if there are several.

  For applications that build their engine in the background, or rebuild it after `crash_worker/1`.

      engine = Vllm.Test.await_engine!(MyTest.Vllm)

  `:timeout`, by default #{120_000} ms, is the only option.
  """
  @spec await_engine!(worker(), keyword()) :: engine()
  def await_engine!(worker, options \\ []), do: Workers.await_engine!(worker, options)

  @doc """
  Makes engines of a worker fail to start.

      Vllm.Test.fail_start(worker, {:engine_error, "CUDA out of memory"}, times: 1)
      assert {:error, %Vllm.Error{kind: :engine_error}} = MyApp.Model.load(worker)

  With `times: n` only the next `n` engines fail.
  """
  @spec fail_start(worker(), error(), keyword()) :: :ok
  def fail_start(worker, error, options \\ []) do
    plan(worker, %{
      "build_error" => Script.error(error),
      "build_error_times" => Script.times(options)
    })
  end

  @doc """
  Makes engines of a worker take so many milliseconds to start.

      Vllm.Test.delay_start(worker, 200)
  """
  @spec delay_start(worker(), non_neg_integer()) :: :ok
  def delay_start(worker, milliseconds) do
    plan(worker, %{"build_seconds" => Script.seconds(milliseconds)})
  end

  ## Answers

  @doc """
  Scripts the answer to a prompt, token by token. A text is split into words.

      Vllm.Test.reply(engine, "Hello", [" wor", "ld"])
      Vllm.Test.reply(engine, ~r/weather/i, "It rains in Paris.")
      Vllm.Test.reply(engine, :any, "Sorry?", finish_reason: "length")
      Vllm.Test.reply(engine, "How old is Ada?", {:json, %{age: 42}})

  `{:json, value}` is the value as JSON, for `Vllm.json/4`. It is not compared with a schema.

  A request without a script gets the tokens `" 256"`, `" 257"` and so on, up to its `max_tokens`,
  whose default is 16. A scripted answer also ends at `max_tokens`, with vLLM's finish reason
  `"length"`.

  ## Options

    * `:times` - holds only for so many requests with this prompt
    * `:delay` - milliseconds before each token. Defaults to `0`.
    * `:hold` - after how many tokens the request waits for `release/1`
    * `:then` - what happens after the last token: `:stop` (the default), `:hang`, `:die` (the whole
      engine) or `{:fail, error}`
    * `:finish_reason` - replaces `"stop"` and `"length"`
    * `:stop_reason` - the stop string or token id of an answer that stops
    * `:logprobs` - the log probability of each token, for requests that ask for `logprobs`
    * `:reasoning` - what a chat says before the answer, in the form of the answer
    * `:tool_calls` - the tools that a chat calls after the answer, as `{name, arguments}`; the
      arguments are a map, or a text that is sent as it is. A call is a token for its name and a token
      for each word of its arguments.
    * `:merge` - with `true` the engine does not wait until the consumer has taken a token, so that a
      slow consumer gets several tokens in one item, as with vLLM. Defaults to `false`: one item for
      each token.
  """
  @spec reply(target(), prompt(), [String.t()] | String.t() | {:json, term()}, keyword()) :: :ok
  def reply(target, prompt, tokens, options \\ []) do
    script(target, Script.reply(prompt, tokens, options))
  end

  @doc """
  Scripts the result of `encode` for a prompt: a list of numbers or of such lists, which arrives as a
  `Vllm.Tensor` of 32-bit floats. `Vllm.embed/3`, `Vllm.encode/3` and `Vllm.score/4` get it too, the last as
  the cosine of two.

      Vllm.Test.embed(engine, "cat", [0.5, -1.0, 0.25])

  The only option is `:times`.
  """
  @spec embed(target(), prompt(), [number()] | [[number()]], keyword()) :: :ok
  def embed(target, prompt, numbers, options \\ []) do
    script(target, Script.script(Script.embedding(numbers), selecting(prompt, options)))
  end

  @doc """
  Continues the requests that wait because of `reply/4`'s option `:hold`. Returns their number.

      Vllm.Test.reply(engine, "Hello", [" wor", "ld"], hold: 1)
      MyApp.Chat.ask(chat, "Hello")
      assert_receive {:text, " wor"}
      assert MyApp.Chat.busy?(chat)
      Vllm.Test.release(engine)
      assert_receive {:text, "ld"}
  """
  @spec release(engine()) :: non_neg_integer()
  def release(engine), do: call(engine, "release")

  ## Faults of requests

  @doc """
  Delays every token by so many milliseconds.

      Vllm.Test.slow(engine, 50, prompt: "Hello")

  The options of this function and those below are `:prompt` (default `:any`) and `:times`. The
  tokens are the engine's own, `" 256"`, `" 257"` and so on. To script them as well, use the options
  `:delay` and `:then` of `reply/4`.
  """
  @spec slow(target(), non_neg_integer(), keyword()) :: :ok
  def slow(target, milliseconds, options \\ []) do
    script(
      target,
      Script.script(%{"delay" => Script.seconds(milliseconds), "paced" => true}, options)
    )
  end

  @doc """
  Fails requests after `count` tokens: the stream raises the error, `Vllm.Stream.collect/1` returns
  it.

      Vllm.Test.fail_after(engine, 3, {:engine_error, "illegal memory access"})
  """
  @spec fail_after(target(), non_neg_integer(), error(), keyword()) :: :ok
  def fail_after(target, count, error, options \\ []) do
    interrupt(target, count, %{"fail" => Script.error(error)}, options)
  end

  @doc """
  Makes requests hang after `count` tokens, until they are aborted.

      Vllm.Test.hang_after(engine, 0)
  """
  @spec hang_after(target(), non_neg_integer(), keyword()) :: :ok
  def hang_after(target, count, options \\ []),
    do: interrupt(target, count, %{"hang" => true}, options)

  @doc """
  Kills the whole engine when a request has made `count` tokens. All its requests fail with
  `:engine_dead`.

      Vllm.Test.die_after(engine, 3, prompt: "poison")
  """
  @spec die_after(target(), non_neg_integer(), keyword()) :: :ok
  def die_after(target, count, options \\ []),
    do: interrupt(target, count, %{"die" => true}, options)

  @doc """
  Refuses requests: `generate`, `encode` and chats return the error.

      Vllm.Test.refuse(engine, {:invalid, "the prompt is too long"}, prompt: ~r/long/)
  """
  @spec refuse(target(), error(), keyword()) :: :ok
  def refuse(target, error, options \\ []) do
    script(target, Script.script(%{"refuse" => Script.error(error)}, options))
  end

  @doc """
  Refuses requests as if too many were waiting: the error has the kind `:overloaded` and is
  `retryable`.

      Vllm.Test.refuse_admission(engine, times: 1)
  """
  @spec refuse_admission(target(), keyword()) :: :ok
  def refuse_admission(target, options \\ []) do
    refuse(target, {:overloaded, "the waiting queue is full"}, options)
  end

  ## Faults of methods

  @doc """
  Makes a method of the engine fail.

      Vllm.Test.fail(engine, :add_lora, {:engine_error, "no such file"}, times: 1)

  The only option of this function and those below is `:times`. Without it the fault lasts until
  `mend/2`.
  """
  @spec fail(target(), atom() | String.t(), error(), keyword()) :: :ok
  def fail(target, method, error, options \\ []) do
    inject(target, Script.injection(method, %{"error" => Script.error(error)}, options))
  end

  @doc """
  Makes a method never return. Its caller gets `:timeout` at the deadline of the call. With
  `:generate`, `:encode`, `:chat` and `:stream_chat` the call itself hangs, before it returns a stream; to
  make the stream hang use `hang_after/3`.

      Vllm.Test.hang(engine, :sleep)
      assert {:error, %Vllm.Error{kind: :timeout}} = Vllm.AsyncLLM.sleep(engine, rpc: [timeout: 50])
  """
  @spec hang(target(), atom() | String.t(), keyword()) :: :ok
  def hang(target, method, options \\ []),
    do: inject(target, Script.injection(method, %{"hang" => true}, options))

  @doc """
  Delays a method by so many milliseconds.

      Vllm.Test.delay(engine, :wake_up, 200)
  """
  @spec delay(target(), atom() | String.t(), non_neg_integer(), keyword()) :: :ok
  def delay(target, method, milliseconds, options \\ []),
    do:
      inject(
        target,
        Script.injection(method, %{"delay" => Script.seconds(milliseconds)}, options)
      )

  @doc """
  Removes the fault of a method.

      Vllm.Test.mend(engine, :sleep)
  """
  @spec mend(target(), atom() | String.t()) :: :ok
  def mend(target, method),
    do: inject(target, %{"method" => Script.method(method), "injection" => nil})

  ## Faults at once

  @doc """
  Kills the engine now, as when EngineCore crashes: requests in flight and all later calls fail with
  `:engine_dead`. The worker goes on.

      Vllm.Test.die(engine)
      assert {:error, %Vllm.Error{kind: :engine_dead}} = Vllm.AsyncLLM.check_health(engine)
  """
  @spec die(engine()) :: :ok
  def die(engine), do: run(engine, "die")

  @doc """
  Writes so many megabytes to the worker's standard output, as a native library might. Returns when
  everything is written.

      Vllm.Test.print_megabytes(engine, 100)
  """
  @spec print_megabytes(engine(), non_neg_integer()) :: :ok
  def print_megabytes(engine, count) do
    run(engine, "print_megabytes", [Script.count(count)], rpc: [timeout: :infinity])
  end

  @doc """
  Clears an engine's script, faults and record. Requests in flight go on.

      Vllm.Test.reset(engine)
      assert Vllm.Test.requests(engine) == []
  """
  @spec reset(engine()) :: :ok
  def reset(engine), do: run(engine, "reset")

  ## What reached the engine

  @doc """
  The requests that reached an engine, oldest first, including those that it refused.

      assert [%Vllm.Test.Request{request_id: "r1", params: params}] = Vllm.Test.requests(engine)
      assert params.max_tokens == 64
  """
  @spec requests(engine()) :: [Request.t()]
  defdelegate requests(engine), to: Record

  @doc """
  The chats that reached an engine, oldest first, including those that it refused; without those of
  which a field is wrong, as these reach no engine. Each makes a request of `generate` too, which is in
  `requests/1`.

      assert [%Vllm.Test.Chat{prompt: "Hello"} = chat] = Vllm.Test.chats(engine)
      assert [%{"role" => "system"}, %{"role" => "user"}] = chat.messages
      assert chat.fields == %{"temperature" => 0.0}
  """
  @spec chats(engine()) :: [Chat.t()]
  defdelegate chats(engine), to: Record

  @doc """
  The arguments of every call of a method, oldest first: `{positional, named}`.

      assert [{[%Vllm.LoRARequest{lora_name: "sql"}], %{}}] = Vllm.Test.calls(engine, :add_lora)
  """
  @spec calls(engine(), atom() | String.t()) :: [{[term()], %{optional(String.t()) => term()}}]
  defdelegate calls(engine, method), to: Record

  @doc """
  The ids of the requests that were aborted, oldest first. The id of a request for `n` completions is
  listed `n` times.

      assert Vllm.Test.aborted(engine) == []
  """
  @spec aborted(engine()) :: [String.t()]
  defdelegate aborted(engine), to: Record

  @doc """
  How many requests an engine has in flight. A request for `n` completions counts `n` times.

      assert Vllm.Test.live(engine) == 0
  """
  @spec live(engine()) :: non_neg_integer()
  defdelegate live(engine), to: Record

  ## Assertions

  @doc """
  Waits for a request and returns it. One that has arrived before counts.

      Vllm.Test.assert_generated(engine)
      Vllm.Test.assert_generated(engine, prompt: ~r/^Summarise/, params: [max_tokens: 64])

  ## Options

    * `:prompt` - a text, token ids or a regex
    * `:request_id` - the id that the application gave
    * `:params` - fields of the parameters and their values; other fields may have any value
    * `:method` - `:generate` (the default) or `:encode`
    * `:timeout` - how many milliseconds to wait
  """
  @spec assert_generated(engine(), keyword()) :: Request.t()
  def assert_generated(engine, options \\ []), do: Assertions.generated(engine, options)

  @doc """
  Waits for a chat and returns it. One that has arrived before counts.

      Vllm.Test.assert_chatted(engine)
      Vllm.Test.assert_chatted(engine, prompt: ~r/weather/, fields: [temperature: 0.0])

  ## Options

    * `:prompt` - the text of the last message, or a regex that it matches
    * `:fields` - fields of the request and their values, such as `tools: [weather]`; other fields may
      have any value
    * `:options` - options of the chat and their values, such as `tool_parser: "hermes"`
    * `:method` - `:chat` or `:stream_chat`; either by default
    * `:timeout` - how many milliseconds to wait
  """
  @spec assert_chatted(engine(), keyword()) :: Chat.t()
  def assert_chatted(engine, options \\ []), do: Assertions.chatted(engine, options)

  @doc """
  Waits until a method has been called. Returns the arguments of its last call, as `calls/2` does.

      {[lora], %{}} = Vllm.Test.assert_called(engine, :add_lora)

  The options are `:count`, the least number of calls to wait for (default 1), and `:timeout`.
  """
  @spec assert_called(engine(), atom() | String.t(), keyword()) :: {[term()], map()}
  def assert_called(engine, method, options \\ []),
    do: Assertions.called(engine, method, options)

  @doc """
  Waits until a request has been aborted: because its stream was halted or cancelled, its consumer or
  caller has ended, its deadline has passed, or `Vllm.AsyncLLM.abort/2` was called.

      Vllm.Test.assert_aborted(engine, "r1")

  `:timeout` is the only option.
  """
  @spec assert_aborted(engine(), String.t(), keyword()) :: :ok
  def assert_aborted(engine, request_id, options \\ []),
    do: Assertions.aborted(engine, request_id, options)

  @doc """
  Waits until an engine has exactly so many requests in flight.

      Vllm.Test.assert_live(engine, 0)

  `:timeout` is the only option.
  """
  @spec assert_live(engine(), non_neg_integer(), keyword()) :: :ok
  def assert_live(engine, count, options \\ []), do: Assertions.live(engine, count, options)

  defp selecting(prompt, options),
    do: [prompt: prompt] ++ Options.check!(:keyword_list, options, "the options of a script")

  defp interrupt(target, count, fault, options) do
    script(
      target,
      Script.script(Map.merge(fault, %{"after" => Script.count(count), "paced" => true}), options)
    )
  end
end
