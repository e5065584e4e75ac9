defmodule Vllm.Core.Mellea.VerdictsTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Mellea.Verdicts
  alias Vllm.Error
  alias Vllm.Mellea.{Requirement, ValidationResult}

  test "a verdict is a boolean, with or without a reason and a score" do
    for {returned, verdict} <- [
          {true, {true, []}},
          {{false, "why"}, {false, [reason: "why"]}},
          {%ValidationResult{result: true}, {true, []}},
          {%ValidationResult{result: false, reason: "why", score: 1},
           {false, [reason: "why", score: 1.0]}}
        ] do
      assert Verdicts.verdict([{:ok, returned}], 0) == {:ok, verdict}
    end
  end

  test "everything else is an error that names the requirement" do
    for odd <- [nil, :yes, {true, 5}, {5, "x"}, %ValidationResult{}, "true"] do
      assert {:error, %Error{kind: :invalid} = error} = Verdicts.verdict([{:ok, odd}], 2)
      assert error.message =~ "requirement 2 returned"
      assert error.details["parameter"] == "requirements[2]"
    end

    assert {:error, %Error{kind: :timeout}} = Verdicts.verdict([{:error, :timeout}], 0)
    assert {:error, %Error{kind: :invalid}} = Verdicts.verdict([{:error, "raised"}], 0)
  end

  test "a requirement is a text, or has a function of one argument" do
    assert :ok = Verdicts.check(["x", %Requirement{}, %Requirement{validate: &is_binary/1}])

    for odd <- [5, ["x" | "y"], [5], [%Requirement{validate: &Kernel.max/2}], nil] do
      assert {:error, %Error{kind: :invalid}} = Verdicts.check(odd)
    end

    assert Verdicts.run(["x", %Requirement{validate: &String.length/1}], 1, "four").() == 4
  end
end
