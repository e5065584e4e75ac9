defmodule Vllm.Core.OptionsTest do
  use ExUnit.Case, async: true

  alias Vllm.Error
  alias Vllm.Core.Options

  @table [
    {:name, :atom, :required, "the name."},
    {:count, :pos_integer, 3, "how many."},
    {:wait, :timeout, nil, "how long."},
    {:listen, {:or, [{:in, [:unix]}, {:port, :tcp}]}, :unix, "where."},
    {:args, {:list, :string}, [], "more."},
    {:env, :env, %{}, "variables."},
    {:at, :addresses, nil, "addresses."},
    {:members, :members, [], "members."}
  ]

  test "fills in the defaults" do
    assert {:ok, values} = validate(name: :x)

    assert Map.drop(values, [:at, :members]) ==
             %{name: :x, count: 3, wait: nil, listen: :unix, args: [], env: %{}}
  end

  test "accepts values of the right types" do
    options = [
      name: :x,
      wait: :infinity,
      listen: {:tcp, 0},
      args: ["a"],
      env: [{"A", "1"}, {:B, false}]
    ]

    assert {:ok, %{listen: {:tcp, 0}, wait: :infinity}} = validate(options)
  end

  test "takes one address or several, and members by name or by their options" do
    for at <- ["a", ["a"], ["a", "b"]], do: assert({:ok, %{at: ^at}} = validate(name: :x, at: at))
    members = [A, {A, :b@c}, [token: "secret"]]
    assert {:ok, %{members: ^members}} = validate(name: :x, members: members)

    for wrong <- [:x, [nil], [[]], [{A, "b"}], [{nil, :b}], [A | B], [[token: "secret"], "b"]] do
      assert {:error, %Error{kind: :invalid} = error} = validate(name: :x, members: wrong)
      assert error.message =~ "must be a list of instances"
      refute error.message =~ "secret"
    end
  end

  test "names an unknown option and the known ones" do
    assert {:error, %Error{kind: :invalid} = error} = validate(name: :x, cuont: 1)
    assert error.message =~ ":cuont"
    assert error.message =~ ":count"
    assert error.details == %{"option" => "cuont"}
  end

  test "names a missing option" do
    assert {:error, %Error{message: message}} = validate([])
    assert message =~ ":name"
    assert message =~ "required"
  end

  for {key, value} <- [
        name: nil,
        name: "text",
        count: 0,
        wait: -1,
        listen: :tcp,
        listen: {:tcp, 70_000},
        args: "a",
        args: [:a],
        env: %{1 => "x"},
        at: [],
        at: ["a" | "b"],
        at: ["a", nil]
      ] do
    test "refuses #{key}: #{inspect(value)} and names the type" do
      options = Keyword.merge([name: :x], [{unquote(key), unquote(Macro.escape(value))}])
      assert {:error, %Error{kind: :invalid, message: message}} = validate(options)
      assert message =~ inspect(unquote(key))
      assert message =~ "must be"
      assert message =~ inspect(unquote(Macro.escape(value)))
    end
  end

  for {type, good, wrong} <- [
        {:timeout, [0, 4_233_600_000, :infinity], [-1, 4_233_600_001, 1.0, nil]},
        {:milliseconds, [1, 4_233_600_000], [0, 4_233_600_001, :infinity]},
        {:pause, [0, 4_233_600_000], [-1, 4_233_600_001, :infinity]},
        {{:range, 1, 9}, [1, 9], [0, 10, 1.0]},
        {:instance, [A.Vllm, :a], [nil, true, :undefined, "a", :"#{String.duplicate("a", 201)}"]},
        {:text, ["", "\0"], [<<255>>, :a]},
        {:string, ["a"], ["\0", <<255>>]},
        {{:list, :number}, [[], [1, 2.0]], [[1 | 2], ["1"]]}
      ] do
    test "#{inspect(type)} has bounds, which the error tells" do
      type = unquote(Macro.escape(type))
      for good <- unquote(Macro.escape(good)), do: assert(Options.check(type, good, "x") == :ok)

      for wrong <- unquote(Macro.escape(wrong)) do
        assert {:error, %Error{kind: :invalid, message: message}} =
                 Options.check(type, wrong, "x")

        assert message =~ ~r/^x must be .+, got: /
        assert_raise ArgumentError, message, fn -> Options.check!(type, wrong, "x") end
      end
    end
  end

  test "a secret is not shown" do
    table = [{:token, :secret, nil, "the token."}]
    assert {:error, error} = Options.validate(table, [token: <<"secret", 0>>], "options")
    assert error.message =~ "got: a binary of 7 bytes"
    assert {:error, error} = Options.validate(table, %{token: "secret"}, "options")
    refute error.message =~ "secret"
  end

  test "the default may be given" do
    assert {:ok, %{wait: nil}} = validate(name: :x, wait: nil)
  end

  test "refuses options that are not a keyword list" do
    assert {:error, %Error{kind: :invalid}} = validate([1, 2])
  end

  test "a call has the deadline of its options, unless those of the bridge have one" do
    table = [{:timeout, :timeout, 5, "."}, {:rpc, :term, [], "."}]
    rpc = fn options -> Options.validate_call(table, options, "x") end
    assert {:ok, %{rpc: [timeout: 5]}} = rpc.([])
    assert {:ok, %{rpc: [timeout: :infinity]}} = rpc.(timeout: :infinity)
    assert {:ok, %{rpc: [timeout: 7]}} = rpc.(timeout: 6, rpc: [timeout: 7])
    # Refused with the call.
    assert {:ok, %{rpc: :odd}} = rpc.(rpc: :odd)
    assert {:error, %{kind: :invalid}} = rpc.(timeout: -1)
  end

  test "documents every option with type and default" do
    docs = Options.docs(@table)
    assert docs =~ "* `:count` (a positive integer) - how many. Defaults to `3`."
    assert docs =~ "* `:name` (an atom) - the name. Required."
    assert docs =~ "{:tcp, port}"
  end

  defp validate(options), do: Options.validate(@table, options, "the options of a test")
end
